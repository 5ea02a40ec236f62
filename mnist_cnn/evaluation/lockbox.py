"""The test set's lockbox: each opening is recorded on the model's run before it happens.

A test set that is used often becomes a second validation set. Nobody is kept from opening it, but
everybody sees who opened it, when, for which verb, and how many times: for this model, and for all
models together, since whoever tests ten models and keeps the best has chosen on the test set.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.entities import RunTag, ViewType
from mlflow.utils.validation import MAX_DATASET_DIGEST_SIZE

from mnist_cnn.evaluation.data import DataInfo
from mnist_cnn.experiment_id import data_name
from mnist_cnn.mlruns import MLRUNS
from mnist_cnn.registry import models
from mnist_cnn.registry.models import MODEL_DIGEST, FoundModel
from mnist_cnn.tracking import tags
from mnist_cnn.tracking.client import experiment_id, user

OPENED = "test.opened."  # and the time: a tag for each opening
OPENINGS = "test.openings"  # the tag with their number for the model
EVALUATIONS = "evaluations"  # the MLflow experiment for models that have no other run
MOST = 50_000  # experiments or runs in one answer of MLflow


@dataclass(frozen=True)
class Opening:
    """One opening of a test set.

    Attributes:
        data: The name of the data set.
        user: Who opened it.
        count: How many openings of the test set there are for the model, including this one.
        total: How many there are for all models, including this one.
        run_id: The run on which it is recorded.
    """

    data: str
    user: str
    count: int
    total: int
    run_id: str

    @property
    def reader(self) -> str:
        """Who read the test set, and how often it was read, in one line."""
        return (
            f"read by {self.user}, the {ordinal(self.count)} time for this model and the "
            f"{ordinal(self.total)} in all; recorded on run {self.run_id}"
        )

    @property
    def summary(self) -> str:
        """The opening in one line."""
        return f"test set of {self.data} {self.reader}"


def ordinal(count: int) -> str:
    """Return a count as an ordinal number: first, second, third, 4th, and so on; 0th for none."""
    if 1 <= count <= 3:
        return ("first", "second", "third")[count - 1]
    if count % 100 in (11, 12, 13):
        return f"{count}th"
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{count}{endings.get(count % 10, 'th')}"


def record(
    client: MlflowClient, model: FoundModel, weights: str, data: DataInfo, verb: str
) -> Opening:
    """Record an opening on the model's run. To be called before the test images are read.

    Args:
        client: Of the tracking store.
        model: The model. The run of a file, or of a model whose run is deleted, is one on which it
            was tested before, else the one that trained its weights, else a new one.
        weights: The digest of the model's weights, as training runs record it.
        data: The data set whose test set is opened.
        verb: For which command.
    """
    run_id = model.run_id
    if run_id is None or _is_deleted(client, run_id):
        run_id = _run_of_file(client, model, weights)
    opening = {
        "who": user(),
        "verb": verb,
        "data": data.name,
        "digest": data.digest,
        "test": data.test_id,
        "model": model.digest,
    }
    # With microseconds, two openings at once have two names.
    time = datetime.now(UTC).isoformat(timespec="microseconds").removesuffix("+00:00")
    new_tags = {f"{OPENED}{time}Z": json.dumps(opening), MODEL_DIGEST: model.digest}
    # The number follows; the tag is there at once, since openings are found by it.
    new_tags |= {OPENINGS: client.get_run(run_id).data.tags.get(OPENINGS, "0")}
    client.log_batch(run_id, tags=[RunTag(name, text) for name, text in new_tags.items()])
    openings = _openings(client)
    own = [known for known in openings if known.get("model") == model.digest]
    client.set_tag(run_id, OPENINGS, str(len(own)))
    count = sum(_is_of(known, data) for known in own)
    total = sum(_is_of(known, data) for known in openings)
    return Opening(data.name, user(), count, total, run_id)


def was_searched(client: MlflowClient, path: str, data: DataInfo) -> bool:
    """Return whether MLflow has runs that were trained on the data at a path.

    Args:
        client: Of the tracking store.
        path: An absolute path with links followed.
        data: What is recorded about all of its images.
    """
    experiments = client.search_experiments(ViewType.ALL, max_results=MOST)
    # Also of images that have changed since, or that the experiment has changed.
    if any(found.name.endswith(f"-{data_name(path)}") for found in experiments):
        return True
    trained_on = f"dataset.digest = '{data.digest[:MAX_DATASET_DIGEST_SIZE]}'"
    ids = [found.experiment_id for found in experiments]
    return bool(client.search_runs(ids, trained_on, ViewType.ALL, max_results=1))


def _is_deleted(client: MlflowClient, run_id: str) -> bool:
    run = models.known_run(client, run_id)
    return run is None or bool(run.info.lifecycle_stage == "deleted")


def _is_of(opening: dict[str, str], data: DataInfo) -> bool:
    """Return whether an opening is one of the test set of `data`."""
    if "test" in opening:
        return opening["test"] == data.test_id
    return opening.get("digest") in (data.digest, data.test_id)  # before 0.6.0


def _run_of_file(client: MlflowClient, model: FoundModel, weights: str) -> str:
    for tag, digest in ((MODEL_DIGEST, model.digest), (tags.WEIGHTS, weights)):
        if known := _runs_with_tag(client, tag, digest):
            return known[0]
    experiment = experiment_id(client, EVALUATIONS, MLRUNS)
    run = client.create_run(experiment, tags={tags.KIND: "evaluation"}, run_name=model.title)
    client.update_run(run.info.run_id, "FINISHED")  # `set_terminated` would print a link
    return str(run.info.run_id)


def _runs_with_tag(client: MlflowClient, tag: str, digest: str) -> list[str]:
    """Return the ids of the runs that have this digest in this tag, of all experiments."""
    experiments = [found.experiment_id for found in client.search_experiments(max_results=MOST)]
    runs = client.search_runs(experiments, f"tags.`{tag}` = '{digest}'")
    return [run.info.run_id for run in runs]


def _openings(client: MlflowClient) -> list[dict[str, str]]:
    """Return all openings that are recorded in MLflow, of any model and data set.

    Those on deleted runs count too. A tag of such a name that somebody else has set may have
    anything in it.
    """
    experiments = [
        found.experiment_id for found in client.search_experiments(ViewType.ALL, max_results=MOST)
    ]
    opened = f"tags.`{OPENINGS}` LIKE '%'"
    return [
        tags.json_object(text)
        for run in client.search_runs(experiments, opened, ViewType.ALL, MOST)
        for name, text in run.data.tags.items()
        if name.startswith(OPENED)
    ]
