"""How a search waits while workers cannot reach Optuna's storage: longer after each failed try."""

import time

from mnist_cnn.errors import UserError

FIRST_SECONDS, LONGEST_SECONDS = 1.0, 30.0
TRIES = 20  # in a row that fail although the search itself reaches the storage, in eight minutes


class Outage:
    """Decides when workers may try again.

    Attributes:
        seconds: How long the current wait is.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._tries, self._until = 0, 0.0

    @property
    def lasts(self) -> bool:
        """Whether it is too early to try again."""
        return time.monotonic() < self._until

    def begin(self, problem: str) -> str:
        """Note that a call could not reach the storage.

        Returns:
            A message; "" if a call of the same try has been noted before.

        Raises:
            UserError: Too many tries in a row have failed.
        """
        if self.lasts:
            return ""
        self._tries += 1
        if self._tries > TRIES:
            raise UserError(
                f"{problem}; {TRIES} tries in a row failed; no trial is lost: fix the problem and "
                "type the same command again"
            )
        self.seconds = min(FIRST_SECONDS * 2 ** (self._tries - 1), LONGEST_SECONDS)
        self._until = time.monotonic() + self.seconds
        return f"{problem}; the trial waits, next try in {self.seconds:.0f} s"

    def end(self) -> None:
        """Note that a call has reached the storage."""
        self.seconds, self._tries, self._until = 0.0, 0, 0.0
