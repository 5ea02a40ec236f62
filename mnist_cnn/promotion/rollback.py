"""What can be done with the registry's champion: go back to the one before it, or take its file."""

import tempfile
from contextlib import suppress
from pathlib import Path

from mnist_cnn.errors import UserError
from mnist_cnn.mlruns import MODEL_FILE
from mnist_cnn.registry import aliases, models, store
from mnist_cnn.registry.aliases import Aliases, AliasesChangedError


def rollback() -> str:
    """Exchange the aliases `champion` and `previous`; returns a line for the user.

    A rollback that was killed half-way is finished, and that is all.

    Raises UserError if there is no previous champion, its file is gone, or somebody else moves the
    aliases at the same time.
    """
    with store.answering():
        client = store.connect("mnist")
        finished = aliases.finish(client)
        now = aliases.current(client)
        if finished == "rollback":
            return f"the interrupted rollback is finished: version {now.champion} is the champion"
        if now.champion is None or now.previous is None or now.previous == now.champion:
            raise UserError("there is no previous champion to go back to")
        with tempfile.TemporaryDirectory() as folder:  # raises if the file is gone
            version = store.version(client, "previous")
            models.from_version(client, version, Path(folder))
        to = Aliases(champion=now.previous, previous=now.champion)
        try:
            aliases.move(client, now, "rollback", lambda: to)
        except AliasesChangedError:
            raise UserError(
                "another promotion or rollback came first; look at it and decide again"
            ) from None
    return (
        f"champion is version {to.champion} again; version {to.previous} is `previous`, another "
        "rollback brings it back"
    )


def pull(alias: str, to: Path) -> str:
    """Write the model's file to the folder `to`, all or nothing; returns a line for the user.

    The file loads in plain Keras, and computes in float32 on any machine.

    Raises UsageError for an unknown alias, UserError for files that are gone and for a folder that
    cannot be written.
    """
    target = to / MODEL_FILE
    with tempfile.TemporaryDirectory() as folder:
        with store.answering():
            client = store.connect("mnist")
            version = store.version(client, alias)
            model = models.from_version(client, version, Path(folder))
        partly = target.with_suffix(".part")
        try:
            to.mkdir(parents=True, exist_ok=True)
            partly.write_bytes(model.file.read_bytes())
            partly.replace(target)
        except OSError as error:
            with suppress(OSError):
                partly.unlink()
            raise UserError(f"cannot write {target}: {error.strerror}") from None
    return (
        f"{target}: {alias}, {model.title}; load it with keras.models.load_model({str(target)!r})"
    )
