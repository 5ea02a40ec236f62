"""Questions to actors. Ray answers them later, in any order, or reports that the actor died."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

NEWS_SECONDS = 10.0  # how long an actor waits for news before it answers that there are none
AGAIN_SECONDS = 1.0  # until an actor that could not be reached is asked again


@dataclass(eq=False)
class Actor:
    """An actor, as the search knows it.

    Attributes:
        number: Its place in the pool, from 1.
        handle: Ray's handle.
        node: The id of its node, once the actor is ready.
        key: The folder of the run that it has; None if it is idle.
        attempt: The number of its last call.
        begin_arguments: The other arguments of `Node.begin` for that call.
        offset: The bytes of the run's journal that were written here.
        serial: The number of the last news.
        pause_seconds: The last pause in its place, after an actor that could not start; 0 after one
            that could.
        replace_at: The moment to replace it, if it could not start.
    """

    number: int
    handle: Any
    node: str = ""
    key: Path | None = None
    attempt: int = 0
    begin_arguments: tuple[Any, ...] = ()
    offset: int = 0
    serial: int = 0
    pause_seconds: float = 0.0
    replace_at: float = math.inf


class Questions:
    """The questions that are not answered yet. A question is a method of `node.Node`."""

    def __init__(self) -> None:
        self._asked: dict[ray.ObjectRef[Any], tuple[Actor, str]] = {}
        self._due: list[tuple[float, Actor, str]] = []  # and the moment to ask again

    def ask(self, actor: Actor, method: str) -> None:
        """Ask an actor."""
        arguments: tuple[Any, ...] = ()
        if method == "begin":
            arguments = (actor.attempt, *actor.begin_arguments)
        elif method == "news":
            arguments = (actor.attempt, actor.offset, actor.serial, NEWS_SECONDS)
        self._asked[getattr(actor.handle, method).remote(*arguments)] = (actor, method)

    def ask_later(self, actor: Actor, method: str) -> None:
        """Ask an actor again that could not be reached, in a moment."""
        self._due.append((time.monotonic() + AGAIN_SECONDS, actor, method))

    def forget(self, actor: Actor, methods: Sequence[str]) -> None:
        """Ignore what the actor will answer to these questions."""
        self._due = [one for one in self._due if one[1] is not actor or one[2] not in methods]
        for answer, (one, method) in list(self._asked.items()):
            if one is actor and method in methods:
                del self._asked[answer]

    def answered(self, seconds: float) -> "Iterator[tuple[ray.ObjectRef[Any], Actor, str]]":
        """Wait up to `seconds` for an answer, and yield each with its question.

        Questions that are forgotten meanwhile are left out.
        """
        now = time.monotonic()
        due = [one for one in self._due if one[0] <= now]
        self._due = [one for one in self._due if one[0] > now]
        for _, actor, method in due:
            self.ask(actor, method)
        if not self._asked:  # Ray would not wait
            next_due = min((moment for moment, *_ in self._due), default=math.inf)
            time.sleep(max(0.0, min(seconds, next_due - now)))
            return
        answers, _ = ray.wait(list(self._asked), timeout=seconds)
        if answers:
            answers, _ = ray.wait(list(self._asked), num_returns=len(self._asked), timeout=0)
        for answer in answers:
            if answer in self._asked:
                yield answer, *self._asked.pop(answer)
