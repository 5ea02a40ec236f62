"""A search's time, divided between trials, confirmations and the end."""

import math
import time
from dataclasses import dataclass

from mnist_cnn.study.study import Study

# The time that confirmations need is reserved for them, but at most this share of the search. They
# also get what the trials leave.
MOST_FOR_CONFIRMATIONS = 1 / 3
MOST_FOR_CLOSING = 30.0  # seconds: the start may have taken long because it converted the images


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The time of one search, in seconds. Moments are on the clock of `time.monotonic`.

    Attributes:
        started: When the command began.
        spent: How long earlier commands of the same study took. It counts against the limit, unless
            this command has its own.
        confirmations_end: When the last confirmation must end. Infinite if there is no limit.
        end: When everything must end, including the report.
        confirming: The most seconds to reserve for confirmations.
    """

    started: float
    spent: float
    confirmations_end: float
    end: float
    confirming: float

    def trials_deadline(self, confirmation_seconds: float) -> float:
        """Return when the last trial must end.

        Args:
            confirmation_seconds: The time to leave for confirmations.
        """
        if math.isinf(self.confirmations_end):
            return self.confirmations_end
        return self.confirmations_end - min(confirmation_seconds, self.confirming)

    def seconds(self) -> float:
        """Return how long the study has taken so far, including earlier commands."""
        return self.spent + time.monotonic() - self.started


def budget_of(study: Study, asked_seconds: float | None, started: float) -> Budget:
    """Return the budget of a search that begins now.

    Without `asked_seconds`, an unfinished study gets what is left of the experiment's time limit.

    Args:
        study: The study.
        asked_seconds: The time limit of this command alone. None uses the experiment's.
        started: When the command began, on the clock of `time.monotonic`.
    """
    timeout = asked_seconds or study.plan.timeout_seconds or math.inf
    spent = 0.0
    if not study.attributes.get("finished"):
        spent = float(study.trials.optuna_study.user_attrs.get("seconds", 0.0))
    left = timeout
    if asked_seconds is None:
        left = max(0.0, timeout - spent)
    end = started + left
    # The model is exported in a new process. The export and the plots take about as long as the
    # start of the command took.
    closing = min(time.monotonic() - started, MOST_FOR_CLOSING, timeout / 4)
    return Budget(
        started=started,
        spent=spent,
        confirmations_end=end - closing,
        end=end,
        confirming=(timeout - closing) * MOST_FOR_CONFIRMATIONS,
    )
