"""A request that is turned down: one line for whoever sent it, and an HTTP status."""

from mnist_cnn.errors import UserError


class Refusal(UserError):
    """The request cannot be answered. status: 4xx, or 503 while there is no champion."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
