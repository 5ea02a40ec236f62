"""The names of the tags and metrics in which a study's run holds its result.

`study_run` writes them, `promotion.card` reads them. Users see them, so they do not change.
"""

TRIAL = "best.trial"
CONFIRMATIONS = "best.confirmations"  # the number of fresh seeds on which the winner was confirmed
PARAMETER = "best.param."  # and the hyperparameter's name
MODEL_PROBLEM = "model.problem"  # why the model is a file only, and not a model of MLflow

_BEST, _FIRST_SCORE = "best_", "_first_score"


def best(metric: str) -> str:
    """Return the name of the winner's score: the mean over fresh seeds, or the first score."""
    return f"{_BEST}{metric}"


def first_score(metric: str) -> str:
    """Return the name of the score by which the winner was selected."""
    return f"{best(metric)}{_FIRST_SCORE}"


def optimism(metric: str) -> str:
    """Return the name of the difference by which the first score is better than the mean."""
    return f"{best(metric)}_flattered_by"


def deviation(metric: str) -> str:
    """Return the name of the standard deviation over the fresh seeds."""
    return f"{best(metric)}_standard_deviation"


def metric_of_first_score(name: str) -> str | None:
    """Return the metric of which `name` is the `first_score`, or None if it is another name."""
    if name.startswith(_BEST) and name.endswith(_FIRST_SCORE):
        return name.removeprefix(_BEST).removesuffix(_FIRST_SCORE)
    return None
