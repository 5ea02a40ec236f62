"""The verb `pull`: write a registered model's .keras file to a folder."""

import shutil
import tempfile
from pathlib import Path

from mnist_cnn.errors import UserError
from mnist_cnn.experiment_id import DEFAULT, ExperimentId
from mnist_cnn.files import replace_file
from mnist_cnn.registry import models, store


def pull(model: str, to: Path, model_name: str | None = None) -> str:
    """Write a version of a registered model to a folder, whole or not at all.

    The file loads in plain Keras and computes in float32 on any machine.

    Args:
        model: The version: an alias such as `champion`, or as in `models.named_version`.
        to: The folder. It is created if missing.
        model_name: The registered model, see `store.choose`. The file is called like it.

    Returns:
        One line for the user.

    Raises:
        UsageError: There is no such version, alias or registered model.
        UserError: The model's file is gone, or the folder cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        with store.answering():
            client = store.connect(ExperimentId(DEFAULT))
            version = models.named_version(client, model, model_name)
            found = models.from_version(version, Path(folder))
        target = to / f"{version.name}.keras"
        try:
            to.mkdir(parents=True, exist_ok=True)
            replace_file(target, lambda path: shutil.copyfile(found.file, path))
        except OSError as error:
            raise UserError(f"cannot write {target}: {error.strerror}") from None
    return (
        f"{target}: {model}, {found.title}; load it with keras.models.load_model({str(target)!r})"
    )
