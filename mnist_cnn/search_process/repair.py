"""Repeats the runs of a study whose model a power cut has damaged."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from mnist_cnn.errors import UserError
from mnist_cnn.mlruns import MODEL_FILE
from mnist_cnn.retrain import recorded, retrain
from mnist_cnn.study import models
from mnist_cnn.study.study import Study


def restore_models(study: Study, say: Callable[[str], None]) -> None:
    """Retrain the damaged models of a study.

    A run that does not give the same model again is no longer a candidate.

    Args:
        study: The study.
        say: Called with each message for the user.
    """
    for folder in models.damaged(study):
        run = recorded(folder)
        assert run is not None
        say(f"{folder.name}: its model is damaged; training it again")
        with tempfile.TemporaryDirectory() as place:
            try:
                retrain(study.plan.id, run, None, Path(place))
            except UserError as error:  # another time it may succeed
                say(f"{folder.name}: {error}; its model stays damaged")
                continue
            if not models.restore(folder, Path(place) / "run" / MODEL_FILE):
                reason = "its training gave a different model"
                models.drop(folder, reason)
                say(f"{folder.name}: {reason}; it is no longer a candidate")
