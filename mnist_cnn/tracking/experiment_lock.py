"""The lock of an experiment's files: one search, `sync` or `delete` at a time uses them here."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mnist_cnn.errors import UserError
from mnist_cnn.file_lock import file_lock
from mnist_cnn.mlruns import MLRUNS, checkpoints


class AlreadyRunning(UserError):
    """Another search, `sync` or `delete` holds the lock of the experiment."""


@contextmanager
def lock_experiment(name: str, folder: Path | None = None) -> Iterator[None]:
    """Lock an experiment's files for one search, `sync` or `delete`.

    Args:
        name: The experiment's name.
        folder: The folder of the studies' folders; `checkpoints()` by default. It is created if it
            is missing.

    Raises:
        AlreadyRunning: One of them is running here.
        UserError: The folder cannot be written.
    """
    folder = folder or checkpoints()
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(file_lock(folder / f"{name}.lock", wait_seconds=0))
        except BlockingIOError:
            raise AlreadyRunning(
                f"another search of {name!r} is running here, or `mnist-cnn sync` or `delete`; "
                "wait for it to end, or stop it with Ctrl-C"
            ) from None
        except OSError as error:
            raise UserError(f"cannot write to {MLRUNS.absolute()}: {error.strerror}") from None
        yield
