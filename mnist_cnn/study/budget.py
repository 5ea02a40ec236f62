"""How much time a search has, and how it is divided between trials, confirmations and the end."""

import math
import time
from dataclasses import dataclass

from mnist_cnn.study.study import Study

# The confirmations have the time that they take, but never more than this share of the search.
MOST_FOR_CONFIRMATIONS = 2 / 3


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The time of one search. Moments are on `time.monotonic`'s clock.

    Attributes:
        started: When the command began.
        spent: Seconds that earlier commands of the study took, which count.
        deadline: When the last confirmation must end; infinite without a limit.
        end: When everything must end, the report included.
    """

    started: float
    spent: float
    deadline: float
    end: float

    def trials_deadline(self, confirmation_seconds: float) -> float:
        """Return when the last trial must end, so that the confirmations have their time."""
        if math.isinf(self.deadline):
            return self.deadline
        most = (self.deadline - self.started) * MOST_FOR_CONFIRMATIONS
        return self.deadline - min(confirmation_seconds, most)

    def seconds(self) -> float:
        """Return what the study has taken so far."""
        return self.spent + time.monotonic() - self.started


def budget_of(study: Study, asked_seconds: float | None, started: float) -> Budget:
    """Return the budget of a search that begins now.

    An unfinished study has what is left of its time; with a time of the command's own, all of that.

    Args:
        study: The study.
        asked_seconds: What the command asked for; None leaves it to the experiment.
        started: When the command began.
    """
    timeout = asked_seconds or study.plan.timeout_seconds or math.inf
    spent = 0.0
    if asked_seconds is None and not study.attributes.get("finished"):
        spent = float(study.trials.optuna_study.user_attrs.get("seconds", 0.0))
    end = started + max(0.0, timeout - spent)
    # The model is exported in a new process. That and the pictures take about as long as it took
    # to come here.
    closing = min(time.monotonic() - started, timeout / 4)
    return Budget(started=started, spent=spent, deadline=end - closing, end=end)
