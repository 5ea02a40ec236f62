"""A request that the app refuses."""

from mnist_cnn.errors import UserError


class Refusal(UserError):
    """The app cannot answer a request; the message tells the client why, in one line.

    Attributes:
        status: The HTTP status: 4xx, or 503 while there is no champion.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
