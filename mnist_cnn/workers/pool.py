"""The interface of workers to a search: processes on this machine or on a cluster's nodes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mnist_cnn.errors import UserError


class CallLost(UserError):
    """A call failed, exceeded its time limit or lost its process."""


@dataclass(frozen=True)
class Ended:
    """How a call ended.

    Attributes:
        key: The key that the call was submitted with.
        value: The return value of the call.
        problem: Why the call did not return, in a few words; "" if it did.
        refused: The type of error if the same call would fail in any process, or `Unreachable` if
            it would fail now; None otherwise.
        overdue: Whether the call was killed at its time limit.
        lost: Whether its process may still be running, out of reach.
    """

    key: Any
    value: Any = None
    problem: str = ""
    refused: type[UserError] | None = None
    overdue: bool = False
    lost: bool = False


class Pool(Protocol):
    """The interface of `local_pool.Workers` and `cluster.actors.RayWorkers`.

    Attributes:
        host: The address of this machine for the workers. None if they run on it.
        precision: The precision that all of them compute fast; None if they run on this machine.
    """

    host: str | None
    precision: str | None

    @property
    def count(self) -> int: ...
    @property
    def idle(self) -> int: ...
    def take_remarks(self) -> list[str]: ...
    def share(self, files: Sequence[Path]) -> None: ...
    def submit_run(
        self,
        folder: Path,
        call: Callable[[Path], Any],
        limit_seconds: float | None = None,
        inputs: Sequence[Path] = (),
    ) -> None: ...
    def wait(self, seconds: float) -> list[Ended]: ...
    def stop(self, keys: Sequence[Any]) -> list[Any]: ...
    def call(self, call: Callable[[], Any], limit_seconds: float | None = None) -> Any: ...
