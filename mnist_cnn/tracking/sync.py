"""Delivers journals to MLflow: in the background of a search, or by `mnist-cnn sync`."""

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from queue import SimpleQueue
from textwrap import shorten

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mnist_cnn.errors import UserError, full_disk
from mnist_cnn.tracking import journal
from mnist_cnn.tracking.client import connect, experiment_id, explain
from mnist_cnn.tracking.delivery import ABOUT_ONE_RUN, Delivery
from mnist_cnn.tracking.experiment_lock import AlreadyRunning, lock_experiment


class Deliverer(threading.Thread):
    """A thread that delivers a study's journals until it is closed.

    After the first delivery it also delivers, once, what MLflow lacks of the older studies.

    Args:
        experiment: The experiment's name.
        study_folder: The study's folder.
        mlruns: The folder mlruns/.

    Attributes:
        problem: The error of the last attempt; None if it succeeded.
        news: Messages for the user: what was repaired in MLflow, when deliveries begin to fail, and
            when they succeed again.
    """

    def __init__(self, experiment: str, study_folder: Path, mlruns: Path) -> None:
        super().__init__(name="deliverer", daemon=True)
        self._experiment, self._study_folder, self._mlruns = experiment, study_folder, mlruns
        self._closing, self._abandoned = threading.Event(), threading.Event()
        self._delivery: Delivery | None = None
        self._older: list[Path] = []
        self._followed: SimpleQueue[Path] = SimpleQueue()
        self.problem: str | None = None
        self.news: SimpleQueue[str] = SimpleQueue()

    @property
    def views(self) -> Mapping[str, str]:
        """The addresses of the study's views in MLflow, by title, without the server's."""
        return self._delivery.views if self._delivery else {}

    def follow(self, folder: Path) -> None:
        """Include a run that begins, or is resumed, in later deliveries."""
        self._followed.put(folder)

    def run(self) -> None:
        while not self._closing.is_set():
            self._try()
            self._closing.wait(5.0 if self.problem else 0.5)
        if not self._abandoned.is_set():
            self._try()

    def _try(self) -> None:
        try:
            if self._delivery is None:
                client = connect(self._mlruns)
                number = experiment_id(client, self._experiment, self._mlruns)
                delivery = Delivery(client, number, self._study_folder, self._abandoned)
                for line in delivery.reconcile():
                    self.news.put(line)
                self._older = _older_studies(self._study_folder, self._experiment)
                self._delivery = delivery
            while not self._followed.empty():
                self._delivery.follow(self._followed.get())
            self._delivery.deliver()
            while self._older and not self._closing.is_set():
                self._deliver_older(self._older[-1])
                self._older.pop()
            if self._older or self._abandoned.is_set():
                return  # not everything was delivered, so the problem may still be there
            if self.problem:
                self.news.put("MLflow has everything again")
            self.problem = None
            while self._delivery.news:
                self.news.put(self._delivery.news.pop(0))
        except Exception as error:
            # Whatever MLflow's store raises (a lost connection, a locked or full disk): the journal
            # still has it, and the next try begins where this one stopped.
            reason = brief = str(error)
            if not isinstance(error, UserError):  # that says what to type
                reason = explain(error, self._mlruns)
                brief = shorten(reason, 150, placeholder="…")
            if not self.problem:
                self.news.put(
                    f"MLflow cannot be updated ({brief}); training continues, and what is missing "
                    "is delivered later"
                )
            self.problem = reason

    def _deliver_older(self, folder: Path) -> None:
        assert self._delivery is not None
        client, number = self._delivery.client, self._delivery.experiment_id
        try:
            Delivery(client, number, folder, self._abandoned).deliver()
        except MlflowException as error:
            if error.error_code not in ABOUT_ONE_RUN:
                raise

    def close(self, seconds: float) -> None:
        """Deliver once more, for at most `seconds`, and stop.

        Ctrl-C cuts the wait short. If the thread has not ended then, it delivers nothing more: the
        experiment's lock may be released, and others may deliver the same journals.

        Raises:
            KeyboardInterrupt: After Ctrl-C.
        """
        self._closing.set()
        if self.ident is None:  # Ctrl-C came before it was started
            return
        late = f"no answer within {seconds:.0f} s"
        try:
            self.join(seconds)
        except KeyboardInterrupt:
            late = "stopped by Ctrl-C"
            raise
        finally:
            if self.is_alive():
                self.problem = self.problem or late
                self._abandoned.set()


def _older_studies(study_folder: Path, experiment: str) -> list[Path]:
    """Return the folders of the experiment's other studies."""
    found = study_folder.parent.glob(f"{experiment}-*/")
    return [
        folder
        for folder in sorted(found)
        if folder != study_folder and folder.name.rpartition("-")[0] == experiment
    ]


def deliver_all(mlruns: Path) -> Iterator[str]:
    """Deliver the journals of all studies.

    Args:
        mlruns: The folder mlruns/.

    Yields:
        A message for each study, and for each repair.

    Raises:
        UserError: MLflow cannot be reached, or a delivery failed. Or MLflow refused a run, or an
            experiment is deleted in MLflow; then everything else was delivered first.
    """
    found = sorted((mlruns.absolute() / "checkpoints").glob("*/"))
    folders = [
        folder
        for folder in found
        if (folder / journal.FILE_NAME).exists() and not folder.name.startswith(".")
    ]
    if not folders:
        yield "nothing to deliver; type `make search` first"
        return
    refused = []
    try:
        client = connect(mlruns)
        for folder in folders:
            lines, refusal = _deliver_study(client, folder, mlruns)
            yield from lines
            if refusal:
                refused.append(refusal)
    except Exception as error:  # its database, or the server's store of files, raise their own
        raise full_disk(error) or UserError(
            f"{explain(error, mlruns)}; what is left stays on disk: fix the problem and type the "
            "same command again"
        ) from error
    if refused:
        # The studies of an experiment are refused for the same reason.
        raise UserError("; ".join(dict.fromkeys(refused)))


def _deliver_study(client: MlflowClient, folder: Path, mlruns: Path) -> tuple[list[str], str]:
    """Deliver one study.

    Returns:
        Messages about the study, and why it, or one of its runs, was refused; "" if none was.
    """
    experiment = folder.name.rpartition("-")[0]
    lines: list[str] = []
    try:
        with lock_experiment(experiment, folder.parent):
            number = experiment_id(client, experiment, mlruns)
            delivery = Delivery(client, number, folder)
            lines += delivery.reconcile()
            delivery.deliver()
            lines += delivery.news
    except AlreadyRunning:
        line = (
            f"{folder.name}: a search of {experiment!r} is running and delivers it itself, or "
            "another `sync` or `delete` is running"
        )
        return [line], ""
    except MlflowException as error:
        if error.error_code not in ABOUT_ONE_RUN:
            raise
        return lines, f"MLflow refused a run of {folder.name}: {str(error).splitlines()[0]}"
    except UserError as error:  # which concerns this experiment only, see `experiment_id`
        return lines, str(error)
    return [*lines, f"{folder.name}: everything is in MLflow"], ""
