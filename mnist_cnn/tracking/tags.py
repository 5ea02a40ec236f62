"""The tags of runs in MLflow, each name in one place. Users see them, so they do not change."""

KIND = "kind"  # study, trial, confirmation or evaluation
STUDY = "optuna.study"
TRIAL = "optuna.trial"  # its number; of a confirmation, the number of the trial that it confirms
STATE = "optuna.state"
IN_FULL = "optuna.in_full"  # the number of the look that this trial continues, or "baseline"
REASON = "reason"
RECIPE = "recipe"
WEIGHTS = "weights.sha256"
JOURNAL = "journal"  # the run's folder, relative to that of all studies

# MLflow's own.
NOTE = "mlflow.note.content"
PARENT = "mlflow.parentRunId"
USER = "mlflow.user"
SOURCE = "mlflow.source.name"
