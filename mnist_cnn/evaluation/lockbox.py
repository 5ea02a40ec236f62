"""The test set's lockbox: each opening is written to the model's run before it happens.

A test set that is looked at often is a second validation set. Nobody is kept from looking, but
everybody sees how often it was done: who, when, for which verb, and how many times for this model.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.entities import RunTag

from mnist_cnn.evaluation.data import Facts
from mnist_cnn.mlruns import MLRUNS
from mnist_cnn.registry.models import MODEL, WEIGHTS, FoundModel
from mnist_cnn.tracking.client import experiment_id, user

OPENED = "test.opened."  # a tag of this beginning and the time, for each opening
OPENINGS = "test.openings"  # the tag with their number for the model
FOREIGN = "evaluations"  # the MLflow experiment with the runs of models that no search made


@dataclass(frozen=True)
class Opening:
    """One opening of a test set. count: how many there are for the model, this one included."""

    data: str
    who: str
    count: int
    run_id: str

    @property
    def words(self) -> str:
        """The opening in one line."""
        return (
            f"test set of {self.data} opened by {self.who}, the {ordinal(self.count)} time for "
            f"this model; recorded on run {self.run_id}"
        )


def ordinal(count: int) -> str:
    """A count in words: first, second, third, 4th, …"""
    if count <= 3:
        return ("first", "second", "third")[count - 1]
    ending = (
        "th" if count % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(count % 10, "th")
    )
    return f"{count}{ending}"


def record(
    client: MlflowClient, model: FoundModel, weights: str, facts: Facts, verb: str
) -> Opening:
    """Write an opening to the model's run; called before the test images are read.

    A file's run is one on which the model was tested before, else the one that trained these
    weights (their digest is `weights`), else a new one.
    """
    runs = _runs(client, MODEL, model.digest)
    own = [model.run_id] if model.run_id else runs or _runs(client, WEIGHTS, weights)
    run_id = own[0] if own else _new_run(client, model)
    now = datetime.now(UTC)
    opening = {
        "who": user(),
        "verb": verb,
        "data": facts.name,
        "digest": facts.digest,
        "model": model.digest,
    }
    # The time to the microsecond makes the name unique, so that two at once are two.
    name = OPENED + now.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
    tags = {name: json.dumps(opening), MODEL: model.digest}
    client.log_batch(run_id, tags=[RunTag(*item) for item in tags.items()])
    count = sum(_count(client, known, model.digest) for known in {run_id, *runs})
    client.set_tag(run_id, OPENINGS, str(count))
    return Opening(facts.name, user(), count, run_id)


def _runs(client: MlflowClient, tag: str, digest: str) -> list[str]:
    """The runs that have this digest in this tag."""
    everywhere = [found.experiment_id for found in client.search_experiments()]
    runs = client.search_runs(everywhere, f"tags.`{tag}` = '{digest}'")
    return [run.info.run_id for run in runs]


def _count(client: MlflowClient, run_id: str, digest: str) -> int:
    tags = client.get_run(run_id).data.tags
    openings = [json.loads(text) for name, text in tags.items() if name.startswith(OPENED)]
    return sum(opening["model"] == digest for opening in openings)


def _new_run(client: MlflowClient, model: FoundModel) -> str:
    experiment = experiment_id(client, FOREIGN, MLRUNS)
    run = client.create_run(experiment, tags={"kind": "evaluation"}, run_name=model.title)
    client.update_run(run.info.run_id, "FINISHED")  # `set_terminated` prints a link
    return str(run.info.run_id)
