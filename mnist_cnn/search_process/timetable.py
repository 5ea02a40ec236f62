"""When the phases of a search must end, and how long they are expected to take."""

import math
import time

from mnist_cnn.search_process.progress import CONFIRMING, EXPLORING, REPORT
from mnist_cnn.study import confirmation
from mnist_cnn.study.budget import Budget
from mnist_cnn.study.study import Study
from mnist_cnn.workers.pool import Pool

MOST_OVERTIME = 1 / 3  # of the confirmations' time


class Timetable:
    """The phases of one search in time. Moments are on the clock of `time.monotonic`.

    Args:
        study: The study.
        budget: The time of the search.
        workers: Their number decides how long confirmations take.
        tried: The number of configurations that were tried before.

    Attributes:
        trials_deadline: When the last trial should end, so that the confirmations have their time.
        overtime: The seconds for which a trial may go on after that; 0 without a limit. One that is
            nearly complete is worth more than the last round of confirmations, but not more than
            the first.
    """

    def __init__(self, study: Study, budget: Budget, workers: Pool, tried: int) -> None:
        self._study, self._budget, self._workers = study, budget, workers
        self.update(EXPLORING)
        self._tried_before, self._began = tried, time.monotonic()

    def update(self, phase: str) -> None:
        """Update the estimated time of the confirmations, from the trials so far.

        Once they have begun, the trials' deadline stays: what is over needs no time any more.

        Args:
            phase: The current phase.
        """
        most = self._budget.confirming
        rounds = confirmation.expected_rounds(self._study, self._workers.count, most)
        self._confirming = rounds[-1] if rounds else 0.0
        if phase != EXPLORING:
            return
        self.trials_deadline = self._budget.trials_deadline(self._confirming)
        left = self._budget.confirmations_end - self.trials_deadline
        of_more_rounds = left - (rounds[0] if rounds else 0.0)
        self.overtime = 0.0
        if math.isfinite(of_more_rounds):
            self.overtime = max(0.0, min(left * MOST_OVERTIME, of_more_rounds))

    def last_trial_ends(self, any_complete: bool) -> float:
        """Return when the last trial is stopped. The first complete one may take all the time."""
        return (
            self.trials_deadline + self.overtime if any_complete else self._budget.confirmations_end
        )

    def expected(
        self, phase: str, *, tried: int, wanted: int, any_complete: bool
    ) -> dict[str, float]:
        """Return the expected seconds of a phase and of the later ones.

        Unknown times are infinite or NaN: some of the last trials may still be continued.

        Args:
            phase: The current phase.
            tried: The number of configurations that were tried.
            wanted: The number that the study should have.
            any_complete: Whether a trial is complete.
        """
        now, budget, new = time.monotonic(), self._budget, tried - self._tried_before
        pace = (now - self._began) / new if new else math.inf
        exploring = math.nan
        if tried < wanted:
            latest = self.trials_deadline if any_complete else budget.confirmations_end
            exploring = min(pace * (wanted - tried), latest - now)
        confirming = self._confirming
        if math.isfinite(confirming + budget.confirmations_end):
            confirming = min(confirming, budget.confirmations_end - max(now, self.trials_deadline))
        phases = {
            EXPLORING: exploring,
            CONFIRMING: confirming,
            REPORT: budget.end - budget.confirmations_end,
        }
        if not self._study.plan.confirm.trials and phase != CONFIRMING:
            del phases[CONFIRMING]
        order = list(phases)
        return {phase: phases[phase] for phase in order[order.index(phase) :]}
