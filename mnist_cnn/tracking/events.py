"""Writes the events of a journal to MLflow, by their kind. Each can be written again."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelOutput,
    Metric,
    Param,
    RunTag,
)
from mlflow.utils.validation import (
    MAX_DATASET_DIGEST_SIZE,
    MAX_METRICS_PER_BATCH,
    MAX_PARAMS_TAGS_PER_BATCH,
)

from mnist_cnn.tracking.client import flush_artifacts, valid_name
from mnist_cnn.tracking.journal import Event

# Given the client, the id of the run, the folder of its journal, and events of one kind in order.
Writer = Callable[[MlflowClient, str, Path, list[Event]], None]


def _start(client: MlflowClient, run_id: str, folder: Path, events: list[Event]) -> None:
    _tags(client, run_id, folder, events)
    _params(client, run_id, folder, events)


def _params(client: MlflowClient, run_id: str, folder: Path, events: list[Event]) -> None:
    # MLflow cannot change a parameter, but a study may continue with another budget. The first
    # value of each is kept.
    known = client.get_run(run_id).data.params
    params = {n: v for event in reversed(events) for n, v in event.get("params", {}).items()}
    new = [
        Param(key, str(value))
        for name, value in params.items()
        if (key := valid_name(name)) not in known
    ]
    for some in _chunks(new, MAX_PARAMS_TAGS_PER_BATCH):
        client.log_batch(run_id, params=some)


def _metrics(client: MlflowClient, run_id: str, folder: Path, events: list[Event]) -> None:
    metrics = [
        Metric(valid_name(name), value, event["time"], event["step"])
        for event in events
        for name, value in event["metrics"].items()
    ]
    for some in _chunks(metrics, MAX_METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=some)


def _tags(client: MlflowClient, run_id: str, folder: Path, events: list[Event]) -> None:
    found = {name: text for event in events for name, text in event.get("tags", {}).items()}
    for some in _chunks(
        [RunTag(valid_name(name), text) for name, text in found.items()],
        MAX_PARAMS_TAGS_PER_BATCH,
    ):
        client.log_batch(run_id, tags=some)


def _dataset(client: MlflowClient, run_id: str, folder: Path, events: list[Event]) -> None:
    for event in events:
        facts = {"images": event["images"]}
        dataset = Dataset(
            name=f"{event['name']} {event['context']}",  # MLflow merges equal names and digests
            digest=event["digest"][:MAX_DATASET_DIGEST_SIZE],
            source_type="local",
            source=json.dumps({"sha256": event["digest"]}),
            profile=json.dumps(facts),
        )
        context = InputTag("mlflow.data.context", event["context"])
        client.log_inputs(run_id, [DatasetInput(dataset, [context])])


def _artifact(client: MlflowClient, run_id: str, folder: Path, events: list[Event]) -> None:
    paths = [folder / path for path in dict.fromkeys(event["path"] for event in events)]
    found = [path for path in paths if path.exists()]  # a later event may have replaced it
    for path in found:
        client.log_artifact(run_id, str(path))
    if found:
        flush_artifacts(client.get_run(run_id).info.artifact_uri)


def _model(client: MlflowClient, run_id: str, folder: Path, events: list[Event]) -> None:
    event, run = events[-1], client.get_run(run_id)
    experiment_id = run.info.experiment_id
    made = client.search_logged_models(
        [experiment_id], f"source_run_id = '{run_id}'", order_by=None
    )
    time = str(event["time"])
    model = next((model for model in made if model.tags.get("journal.time") == time), None)
    if model is None:
        model = client.create_logged_model(
            experiment_id,
            event["name"],
            source_run_id=run_id,
            tags={**event["tags"], "journal.time": time},
            params={valid_name(name): str(value) for name, value in event["params"].items()},
            model_type="classifier",
        )
    if model.status == "READY":
        return  # already delivered before a kill
    client.log_model_artifacts(model.model_id, str(folder / event["path"]))
    flush_artifacts(model.artifact_location)
    if model.model_id not in [output.model_id for output in run.outputs.model_outputs]:
        # The MLflow UI shows the outputs of a run, and their versions in the registry.
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    client.finalize_logged_model(model.model_id, "READY")


def _pause(client: MlflowClient, run_id: str, folder: Path, events: list[Event]) -> None:
    _tags(client, run_id, folder, events)
    client.set_terminated(run_id, "KILLED", events[-1]["time"])


def _end(client: MlflowClient, run_id: str, folder: Path, events: list[Event]) -> None:
    _metrics(client, run_id, folder, [event for event in events if "metrics" in event])
    _tags(client, run_id, folder, events)
    client.set_terminated(run_id, events[-1]["status"], events[-1]["time"])


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


WRITERS: dict[str, Writer] = {
    "start": _start,
    "params": _params,
    "metrics": _metrics,
    "tags": _tags,
    "dataset": _dataset,
    "artifact": _artifact,
    "model": _model,
    "pause": _pause,
    "end": _end,
}
