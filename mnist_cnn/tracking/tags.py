"""The names of tags on MLflow's runs. Users see and query them, so they must not change."""

import json
from typing import Any

KIND = "kind"  # study, trial, confirmation, derived or evaluation
STUDY = "optuna.study"
TRIAL = "optuna.trial"  # the trial's number; on a confirmation, that of the confirmed trial
STATE = "optuna.state"
CONTINUES = "optuna.continues"  # the number of the trial that this one continues
REASON = "reason"
RECIPE = "recipe"
WEIGHTS = "weights.sha256"
JOURNAL = "journal"  # the run's folder, relative to mlruns/checkpoints/

# MLflow's own tags.
NOTE = "mlflow.note.content"
PARENT = "mlflow.parentRunId"
USER = "mlflow.user"
SOURCE = "mlflow.source.name"
SOURCE_TYPE = "mlflow.source.type"
EXPERIMENT_KIND = "mlflow.experimentKind"  # of an experiment


def json_object(text: str) -> dict[str, Any]:
    """Return the JSON object in a tag that was read from MLflow.

    It is empty if the text is invalid: MLflow cuts off long tags, and anybody can set one.
    """
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
