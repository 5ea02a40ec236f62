"""A pool of workers on the nodes of a Ray cluster, with the interface of the local pool.

Ray places the actors, each with a worker process (`node`). They end with the process that started
them, which is the search. `news` brings back the files of an actor's run, and this process alone
writes them to the run's folder here.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import (
    ActorUnavailableError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
)

from mnist_cnn.errors import UserError
from mnist_cnn.files import make_folder, replace_file
from mnist_cnn.mlruns import CHECKPOINT_FILE
from mnist_cnn.tracking import journal
from mnist_cnn.workers import machine
from mnist_cnn.workers.cluster.copies import pieces_of
from mnist_cnn.workers.cluster.joining import join
from mnist_cnn.workers.cluster.news import News
from mnist_cnn.workers.cluster.node import CHECKPOINT_SECONDS, Node
from mnist_cnn.workers.cluster.questions import Actor, Questions
from mnist_cnn.workers.cluster.wanted import RayWanted
from mnist_cnn.workers.local_pool import Workers
from mnist_cnn.workers.pool import Ended

STOP_SECONDS = 5.0  # for an actor to kill its process; then the actor is killed
REASON_CHARACTERS = 500  # of Ray's message on an actor that could not start; its end says most
FALSE_STARTS = 3  # actors in a row that die before they are ready, while no other is ready
# Until another actor is started in place of one that could not start: longer each time.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0


class RayWorkers:
    """A pool of actors. Those for which there is no room yet begin when nodes join.

    Args:
        wanted: How many, and what each needs.
        log: The file to which the process of `call` prints.
        needed: As for `join`.
        prepare: As for `Workers`.
        checkpoint_seconds: The least time between two copies of a checkpoint.

    Attributes:
        host: The address of this machine for the nodes.
        precision: The precision that all nodes compute fast.

    Raises:
        UserError: The cluster cannot be used.
    """

    def __init__(
        self,
        wanted: RayWanted,
        log: Path,
        needed: Path | None = None,
        prepare: Callable[[], None] | None = None,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
    ) -> None:
        # It checks and exports, but does not train, so it leaves GPUs to the actors.
        environment = machine.worker_environment(1, machine.cores())
        environment["CUDA_VISIBLE_DEVICES"] = "-1"
        self._local = Workers([environment], log, prepare=prepare)
        try:
            self._join(wanted, needed, prepare, checkpoint_seconds)
        except BaseException:
            self._local.__exit__()
            raise

    def _join(
        self,
        wanted: RayWanted,
        needed: Path | None,
        prepare: Callable[[], None] | None,
        checkpoint_seconds: float,
    ) -> None:
        """Join the cluster, and ask for the actors."""
        cluster = join(wanted, needed)
        try:
            self.host: str | None = cluster.host
            self.precision: str | None = cluster.precision
            self._remarks = [cluster.remark(wanted.count)]
            remote = ray.remote(Node).options(
                num_cpus=wanted.cpus,
                num_gpus=cluster.gpus,
                scheduling_strategy="SPREAD",
                max_restarts=0,
                max_concurrency=16,
                runtime_env=cluster.runtime_env,
            )

            def make(number: int, name: str) -> Any:
                environment = machine.worker_environment(number, max(1, math.floor(wanted.cpus)))
                return remote.remote(
                    environment, prepare, name, cluster.shared_addresses, checkpoint_seconds
                )

            self._make, self._questions = make, Questions()
            self._shared: dict[str, list[ray.ObjectRef[Any]]] = {}
            self._false_starts, self._started, self._told_false_start = 0, 0, False
            self._actors = [self._start(number) for number in range(1, wanted.count + 1)]
        except BaseException:
            ray.shutdown()  # which ends the actors
            raise

    def __enter__(self) -> "RayWorkers":
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            # Those that do not answer in time leave their folders behind in Ray's.
            leaving = [actor.handle.leave.remote() for actor in self._actors if actor.node]
            if leaving:
                ray.wait(leaving, num_returns=len(leaving), timeout=STOP_SECONDS)
            for actor in self._actors:
                ray.kill(actor.handle)
        finally:
            try:
                ray.shutdown()
            finally:
                self._local.__exit__()

    @property
    def count(self) -> int:
        """The number of calls that can run in parallel now."""
        return max(1, sum(bool(actor.node) for actor in self._actors))

    @property
    def idle(self) -> int:
        """The number of actors that can take a call now."""
        return sum(bool(actor.node) and actor.key is None for actor in self._actors)

    @property
    def running(self) -> list[Path]:
        """The folders of the running calls."""
        return [actor.key for actor in self._actors if actor.key is not None]

    def take_remarks(self) -> list[str]:
        """Return lines for the user, each once."""
        found, self._remarks = self._remarks, []
        return found

    def call(self, call: Callable[[], Any], limit_seconds: float | None = None) -> Any:
        """Make one call in a process of this machine, see `Workers.call`."""
        return self._local.call(call, limit_seconds)

    def share(self, files: Sequence[Path]) -> None:
        """Put files of the current folder where each node can fetch them, once."""
        for file in files:
            name = str(file.absolute().relative_to(Path.cwd()))
            self._shared[name] = pieces_of(file)

    def submit_run(
        self,
        folder: Path,
        call: Callable[[Path], Any],
        limit_seconds: float | None = None,
        inputs: Sequence[Path] = (),
    ) -> None:
        """Give a call that works in the folder of a run to an idle actor, with its files.

        Args:
            folder: The folder, which is the key of the call.
            call: Called with the folder on the node. It must be picklable.
            limit_seconds: As in `Workers.submit`.
            inputs: Files that the call reads, in folders beside that folder.

        Raises:
            RuntimeError: No actor is idle.
        """
        actor = self._idle_actor()
        make_folder(folder)
        actor.key, actor.serial = folder, 0
        actor.offset = journal.cut(folder)
        paths = [folder / journal.FILE_NAME, folder / CHECKPOINT_FILE, *inputs]
        files = {
            str(path.relative_to(folder.parent)): path.read_bytes()
            for path in paths
            if path.exists()
        }
        actor.attempt += 1
        actor.begin_arguments = (folder.name, call, limit_seconds, files, self._shared)
        self._questions.ask(actor, "begin")

    def wait(self, seconds: float) -> list[Ended]:
        """Return the calls that have ended; wait up to `seconds` for news of any."""
        for actor in list(self._actors):
            if actor.replace_at <= time.monotonic():
                self._replace(actor)
        ended = []
        for answer, actor, method in self._questions.answered(seconds):
            one = self._hear(answer, actor, method)
            ended += [one] if one else []
        return ended

    def stop(self, keys: Sequence[Any]) -> list[Any]:
        """Kill the processes that run these calls. Actors stay, unless they do not answer.

        Returns:
            The calls that may still be running, because their actor did not answer.
        """
        meant = [actor for actor in self._actors if actor.key in keys]
        stopped = self._kill_processes(meant)
        lost = []
        for actor in meant:
            if actor in stopped:
                self._questions.forget(actor, ("begin", "news"))
                actor.key = None
            else:
                lost.append(actor.key)
                self._replace(actor)
        return lost

    def _kill_processes(self, actors: Sequence[Actor]) -> list[Actor]:
        """Kill the processes of actors. Return the actors that confirm it in time."""
        answers = {actor.handle.stop.remote(actor.attempt): actor for actor in actors}
        if not answers:
            return []
        ready, _ = ray.wait(list(answers), num_returns=len(answers), timeout=STOP_SECONDS)
        return [answers[answer] for answer in ready if _succeeded(answer)]

    def _idle_actor(self) -> Actor:
        """Return an actor without a call, on the node with the fewest calls."""
        busy = Counter(actor.node for actor in self._actors if actor.key is not None)
        idle = [actor for actor in self._actors if actor.node and actor.key is None]
        if not idle:
            raise RuntimeError("every actor already has a call")
        return min(idle, key=lambda actor: busy[actor.node])

    def _start(self, number: int, pause_seconds: float = 0.0) -> Actor:
        self._started += 1
        handle = self._make(number, f"{number}-{self._started}")
        actor = Actor(number, handle, pause_seconds=pause_seconds)
        self._questions.ask(actor, "node")
        return actor

    def _hear(self, answer: "ray.ObjectRef[Any]", actor: Actor, method: str) -> Ended | None:
        """Process an answer. Return how the actor's call ended, if it has."""
        try:
            value = ray.get(answer)
        except ActorUnavailableError:  # it may come back, and sends its news then
            self._questions.ask_later(actor, method)
            return None
        except RayTaskError as error:  # an answer, so the actor lives and can stop its process
            stopped = self._kill_processes([actor])
            return self._died(actor, f"its actor failed: {error.cause!r}", known=actor in stopped)
        except RayError as error:
            known = isinstance(error, RayActorError | OutOfMemoryError)
            problem = _words(error)
            if not actor.node:  # it never started, so the reason is news
                problem += f": {' '.join(str(error).split())[-REASON_CHARACTERS:]}"
            return self._died(actor, problem, known)
        if method == "node":
            actor.node, actor.pause_seconds = value, 0.0
            self._false_starts = 0
            self._questions.ask(actor, "watch")
        elif method == "begin":
            self._questions.ask(actor, "news")
        elif method == "news":
            return self._take(actor, value)
        return None

    def _take(self, actor: Actor, news: News) -> Ended | None:
        """Write news to the run's folder: first the files, then the lines that name them."""
        folder = actor.key
        assert folder is not None
        for name, content in news.files.items():
            _write(folder / Path(name).name, content)
        if news.lines:
            journal.append(folder, news.lines)
        actor.offset += len(news.lines)
        actor.serial = news.serial
        if news.ended is None:
            self._questions.ask(actor, "news")
            return None
        actor.key = None
        return replace(news.ended, key=folder)

    def _died(self, actor: Actor, problem: str, known: bool) -> Ended | None:
        """Replace an actor. Return how its call ended, if it had one.

        Args:
            actor: The actor.
            problem: What happened.
            known: Whether Ray or the actor knows that its process is dead. It may still be alive if
                the node cannot be reached.
        """
        if not actor.node:
            self._replace_later(actor, problem)
            return None
        key, node = actor.key, actor.node
        alive = {one["NodeID"]: one["NodeManagerAddress"] for one in ray.nodes() if one["Alive"]}
        lost = not known or node not in alive
        self._replace(actor)
        if key is None:
            return None
        if lost and node not in alive:
            problem = "its node does not answer"
        return Ended(key, problem=problem, lost=lost)

    def _replace_later(self, actor: Actor, problem: str) -> None:
        """Replace an actor that could not start, after a pause."""
        self._false_starts += 1
        if self._false_starts >= FALSE_STARTS and not any(one.node for one in self._actors):
            raise UserError(f"workers cannot start on the Ray cluster: {problem}")
        if not self._told_false_start:
            self._told_false_start = True
            self._remarks.append(
                f"a worker cannot start: {problem}; another start follows, at the latest after "
                f"{LONGEST_PAUSE_SECONDS:.0f} s"
            )
        self._kill(actor)
        pause = max(FIRST_PAUSE_SECONDS, 2 * actor.pause_seconds)
        actor.pause_seconds = min(pause, LONGEST_PAUSE_SECONDS)
        actor.replace_at = time.monotonic() + actor.pause_seconds

    def _replace(self, actor: Actor) -> None:
        self._kill(actor)
        self._actors[self._actors.index(actor)] = self._start(actor.number, actor.pause_seconds)

    def _kill(self, actor: Actor) -> None:
        self._questions.forget(actor, ("begin", "news", "node", "watch"))
        ray.kill(actor.handle)


def _succeeded(answer: "ray.ObjectRef[Any]") -> bool:
    try:
        ray.get(answer)
    except RayError:
        return False
    return True


def _words(error: RayError) -> str:
    """Return what happened to an actor, in a few words."""
    if isinstance(error, OutOfMemoryError):
        return "its actor was killed, since its node ran out of memory"
    if isinstance(error, RayActorError):
        return "its actor died"
    return f"its actor cannot be read: {type(error).__name__}"


def _write(path: Path, content: bytes) -> None:
    replace_file(path, lambda part: part.write_bytes(content))
