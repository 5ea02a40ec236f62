"""The verb `rollback`: the previous champion becomes the champion again."""

import tempfile
from pathlib import Path

from mnist_cnn.errors import UserError
from mnist_cnn.experiment_id import DEFAULT, ExperimentId
from mnist_cnn.registry import aliases, models, store
from mnist_cnn.registry.aliases import Aliases, AliasesChangedError


def rollback(model_name: str | None = None) -> str:
    """Swap the aliases `champion` and `previous`. Without a champion, the previous one becomes it.

    If an earlier rollback was killed half-way, this finishes it and does nothing else.

    Args:
        model_name: The registered model, see `store.choose`.

    Returns:
        One line for the user.

    Raises:
        UsageError: There is no such registered model, or several and none was named.
        UserError: There is no previous champion, its file is gone, or another process moves the
            aliases at the same time.
    """
    with store.answering():
        client = store.connect(ExperimentId(DEFAULT))
        name = store.choose(store.names(client), model_name)
        finished = aliases.finish(client, name)
        now = aliases.current(client, name)
        if finished == "rollback":
            return f"finished the interrupted rollback: version {now.champion} is the champion"
        if now.previous is None or now.previous == now.champion:
            raise UserError("there is no previous champion to go back to")
        with tempfile.TemporaryDirectory() as folder:  # checks that the file is still there
            version = store.version(client, name, "previous")
            models.from_version(version, Path(folder))
        to = Aliases(champion=now.previous, previous=now.champion)
        try:
            aliases.move(client, name, now, "rollback", lambda: to)
        except AliasesChangedError:
            raise UserError(
                "another promotion or rollback was faster; look at its result and decide again"
            ) from None
    if to.previous is None:
        return f"champion is version {to.champion} again; there was none, and now no `previous`"
    return (
        f"champion is version {to.champion} again; version {to.previous} is `previous`, another "
        "rollback brings it back"
    )
