"""Promotion, rollback, pull and evaluation by real commands, after a search without a test set.

The tests share one project. Each begins by making the champion that it needs, so that it depends on
the tests before it as little as possible.
"""

import contextlib
import itertools
import json
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import champions
import keras
import numpy as np
import pytest
from mlflow.entities import Dataset, DatasetInput
from mlflow.exceptions import MlflowException
from projects import here

from mnist_cnn import cli
from mnist_cnn.errors import UserError
from mnist_cnn.evaluation import lockbox
from mnist_cnn.evaluation.worker import ModelWorker
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.mlruns import MLRUNS, MODEL_FILE
from mnist_cnn.promotion.chosen import newest_study
from mnist_cnn.promotion.promote import Promotion, Request, promote
from mnist_cnn.registry import aliases, models, store
from mnist_cnn.registry.aliases import Aliases
from mnist_cnn.registry.store import MNIST_MODEL
from mnist_cnn.tracking.client import experiment_id

COMMAND = [sys.executable, "-m", "mnist_cnn"]


class RememberingWorker(ModelWorker):
    """Remembers what it was asked about each file: loading models takes seconds."""

    def __init__(self):
        super().__init__()
        self._answers = {}

    def examine(self, model_file, data, class_names=()):
        return self._once(super().examine, model_file, data, class_names)

    def evaluate(self, model_file, data, pictures=None, class_names=()):
        if pictures:
            pictures.mkdir(exist_ok=True)
        return self._once(super().evaluate, model_file, data, pictures, class_names)

    def correct(self, model_file, data, class_names=()):
        return self._once(super().correct, model_file, data, class_names)

    def _once(self, ask, model_file, data, *more):
        key = (ask.__name__, data, model_file.read_bytes())
        if key not in self._answers:
            self._answers[key] = ask(model_file, data, *more)
        return self._answers[key]


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory):
    """The project that all these tests work in."""
    root = tmp_path_factory.mktemp("project")
    champions.write_project(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("LOGNAME", "ada")
        yield root


@pytest.fixture(scope="module")
def worker(place):
    with RememberingWorker() as worker:
        yield worker


@pytest.fixture(scope="module", autouse=True)
def search(place, worker):
    """A search, of which the worker trains the trials, while the test set raises."""
    (place / "locked").touch()
    with pytest.MonkeyPatch.context() as patch:
        champions.share(worker, patch)
        done = here("search", "tiny", "--workers", "1", cwd=place)
    assert done.returncode == 0, done.stderr
    (place / "locked").unlink()


@pytest.fixture(scope="module")
def client(search):
    return store.connect()


@pytest.fixture(scope="module")
def runs(client, tmp_path_factory):
    """Runs with better and worse models, as other searches could have left them."""
    folder = tmp_path_factory.mktemp("models")
    made = {}
    for name, wrong in {"best": 5, "good": 30, "less": 35, "still less": 40, "bad": 100}.items():
        champions.save_memorising_model(folder / "model.keras", wrong)
        made[name] = champions.log_study(client, name, folder / "model.keras", folder)
    return made


@pytest.fixture(scope="module")
def searched(client):
    return newest_study(client, ExperimentId("tiny"))


def make_champion(client, worker, run_id, reason="for the test"):
    promote(Request(experiment=ExperimentId("tiny"), run=run_id, reason=reason), worker)
    return aliases.current(client, MNIST_MODEL)


def openings(client, run_id):
    tags = client.get_run(run_id).data.tags
    return [json.loads(text) for name, text in tags.items() if name.startswith(lockbox.OPENED)]


def versions(client):
    return client.search_model_versions(f"name = '{MNIST_MODEL}'")


# A real search, and then the real command


def test_a_search_succeeds_although_reading_the_test_set_raises(client, searched):
    """The fixture `search` ran it. No opening is recorded."""
    assert searched.info.status == "FINISHED"
    assert openings(client, searched.info.run_id) == []


@pytest.fixture(scope="module")
def promoted(place, searched):
    return subprocess.run([*COMMAND, "promote", "tiny"], capture_output=True, text=True)


def test_promote_makes_the_searched_model_the_champion(promoted, client, searched):
    assert (promoted.returncode, promoted.stderr) == (0, "")  # nothing of TensorFlow either
    assert "read by ada, the first time for this model and the first in all" in promoted.stdout
    assert "of 500 images, 95 % interval" in promoted.stdout
    assert "champion is now version 1" in promoted.stdout
    version = store.version(client, MNIST_MODEL, "champion")
    assert version.run_id == searched.info.run_id
    assert aliases.current(client, MNIST_MODEL) == Aliases("1", None)


def test_the_opening_the_scores_and_the_pictures_are_on_the_run(promoted, client, searched):
    run = client.get_run(searched.info.run_id)
    (opening,) = openings(client, run.info.run_id)
    assert (opening["who"], opening["verb"], opening["data"]) == (
        "ada",
        "promote",
        "mnist-first-600",
    )
    assert run.data.tags["test.openings"] == "1"
    assert run.data.tags["gate"].startswith("passed: there was no champion")
    metrics = run.data.metrics
    assert metrics["test_accuracy_low"] < metrics["test_accuracy"] < metrics["test_accuracy_high"]
    assert {file.path for file in client.list_artifacts(run.info.run_id, "test")} == {
        f"test/{name}"
        for name in (
            "confusion.png",
            "reliability.png",
            "predictions.png",
            "worst_mistakes.png",
            "curves.png",
            "evaluation.json",
        )
    }


def test_the_card_has_scores_data_versions_and_parameters(promoted, client, searched):
    card = store.version(client, MNIST_MODEL, "champion").description
    (training,) = client.search_runs([searched.info.experiment_id], "tags.kind = 'confirmation'")
    for words in (
        "first score",
        "mean of 1 fresh seed ",
        "mnist-first-600: accuracy ",
        "the first score was ",
        "there was no champion",
        f"mnist-cnn replay {training.info.run_id}",
        "units: ",
        f"mnist-cnn {metadata.version('mnist-cnn')}",
        training.inputs.dataset_inputs[0].dataset.digest,
    ):
        assert words in card
    assert len(card) <= 5000


def test_the_same_command_again_opens_nothing_and_says_so(
    promoted, client, worker, searched, capsys
):
    promote(Request(experiment=ExperimentId("tiny")), worker)
    assert "is the champion already" in capsys.readouterr().out
    assert len(openings(client, searched.info.run_id)) == 1


def test_there_is_nothing_to_go_back_to_yet(promoted, client, capsys):
    assert cli_main("rollback") == 1
    assert "there is no previous champion" in capsys.readouterr().err


def test_pull_writes_a_file_that_plain_keras_loads_in_float32(promoted, place):
    assert cli_main("pull", "--to", "new/folder") == 0
    path = place / "new" / "folder" / "digit_recog_mnist_cnn.keras"
    with zipfile.ZipFile(path) as archive:
        assert b"mnist_cnn" not in archive.read("config.json")  # it names no code of this package
    model = keras.models.load_model(path)
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    assert model(np.zeros((2, 28, 28, 1), "float32")).shape == (2, 10)


def test_mlflows_names_of_a_version_are_understood(promoted, tmp_path):
    for number, name in enumerate((f"models:/{MNIST_MODEL}@champion", f"models:/{MNIST_MODEL}/1")):
        assert cli_main("pull", name, "--to", str(tmp_path / str(number))) == 0
    pulled = [path.read_bytes() for path in tmp_path.rglob(MODEL_FILE)]
    assert len(pulled) == 2 and pulled[0] == pulled[1]


# The gate


def test_a_worse_model_is_refused_with_the_comparison_and_nothing_moves(client, worker, runs):
    before = make_champion(client, worker, runs["good"])
    count, opened = len(versions(client)), len(openings(client, runs["good"]))
    with pytest.raises(UserError) as refusal:
        promote(Request(experiment=ExperimentId("tiny"), run=runs["bad"]), worker)
    for words in (
        "refused: 80.00% of 500 test images correct",
        "94.00%; only the new model is right on 0,",
        "exact p < 0.0001",
        "--force",
    ):
        assert words in str(refusal.value)
    assert aliases.current(client, MNIST_MODEL) == before
    assert len(versions(client)) == count
    assert client.get_run(runs["bad"]).data.tags["gate"].startswith("refused")
    # Both models have seen the test set, and both runs say so.
    assert openings(client, runs["bad"])[-1]["verb"] == "promote"
    assert len(openings(client, runs["good"])) == opened + 1


def test_force_overrides_the_gate_and_the_reason_is_on_the_version(client, worker, runs):
    before = make_champion(client, worker, runs["good"])
    promote(
        Request(experiment=ExperimentId("tiny"), run=runs["bad"], reason="it is smaller"), worker
    )
    now = aliases.current(client, MNIST_MODEL)
    version = store.version(client, MNIST_MODEL, "champion")
    assert now.previous == before.champion
    assert version.tags["forced.reason"] == "it is smaller"
    assert "forced by ada: it is smaller" in version.description
    assert "refused" in version.description


def test_a_better_model_passes_and_the_old_one_becomes_previous(client, worker, runs, capsys):
    before = make_champion(client, worker, runs["bad"])
    after = make_champion(client, worker, runs["best"], reason=None)
    assert after.previous == before.champion
    assert "passed: " in capsys.readouterr().out


def test_small_steps_down_are_compared_with_the_best_champion_so_far(client, worker, runs):
    """Each step loses five of 500 images: p = 0.0625; both steps together: p = 0.002."""
    good = make_champion(client, worker, runs["good"]).champion
    for version in versions(client):  # of other tests
        if int(version.tags.get(store.TEST_CORRECT, 0)) > 470:
            client.delete_model_version(MNIST_MODEL, version.version)
    before = make_champion(client, worker, runs["less"], reason=None)
    with pytest.raises(UserError) as refusal:
        promote(Request(experiment=ExperimentId("tiny"), run=runs["still less"]), worker)
    assert "p = 0.062" in str(refusal.value)
    assert f"the best champion so far (version {good})" in str(refusal.value)
    assert "p = 0.002" in str(refusal.value)
    assert aliases.current(client, MNIST_MODEL) == before
    assert openings(client, runs["good"])[-1]["verb"] == "promote, as the best champion so far"


def test_a_champion_that_cannot_be_compared_is_told_before_the_test(client, worker, runs, tmp_path):
    make_champion(client, worker, runs["bad"])
    inputs = keras.Input((14, 14, 1))
    outputs = keras.layers.Dense(10, "softmax")(keras.layers.Flatten()(inputs))
    keras.Model(inputs, outputs).save(tmp_path / "model.keras")
    run_id = champions.log_study(client, "smaller", tmp_path / "model.keras", tmp_path)
    version = client.create_model_version(MNIST_MODEL, logged_model(client, run_id), run_id)
    client.set_registered_model_alias(MNIST_MODEL, "champion", version.version)
    opened = len(openings(client, runs["best"]))
    with pytest.raises(UserError) as refusal:
        promote(Request(experiment=ExperimentId("tiny"), run=runs["best"]), worker)
    assert f"the champion, version {version.version}, cannot be compared: the model takes" in str(
        refusal.value
    )
    assert str(refusal.value).endswith('The champion stays; `--force --reason "…"` overrides')
    assert len(openings(client, runs["best"])) == opened
    make_champion(client, worker, runs["best"], reason="another shape")
    assert len(openings(client, runs["best"])) == opened + 1
    client.delete_model_version(MNIST_MODEL, version.version)


def test_another_registered_model_is_neither_compared_with_nor_changed(
    client, worker, runs, capsys
):
    """As after the data set was renamed, or where other people use the same server."""
    before = make_champion(client, worker, runs["best"])
    digest = client.get_model_version(MNIST_MODEL, before.champion).tags["model.sha256"]
    make_champion(client, worker, runs["bad"])
    capsys.readouterr()
    moves = {"move": '{"by": "promotion", "from": {"champion": "1", "previous": null}, "to": '}
    moves["move"] += '{"champion": "1", "previous": null}}'
    client.create_registered_model("other", tags=moves)
    try:
        source = logged_model(client, runs["best"])
        client.create_model_version("other", source, tags={"model.sha256": digest})
        client.set_registered_model_alias("other", "champion", "1")
        make_champion(client, worker, runs["best"])
        assert client.get_registered_model("other").tags == moves
    finally:
        client.delete_registered_model("other")
    assert "is the champion already" not in capsys.readouterr().out
    assert store.version(client, MNIST_MODEL, "champion").run_id == runs["best"]


def logged_model(client, run_id):
    """The URI of the model that was logged to a run."""
    experiment = client.get_run(run_id).info.experiment_id
    (found,) = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
    return f"models:/{found.model_id}"


def test_a_version_that_is_promoted_again_without_force_has_no_reason(client, worker, runs):
    forced = make_champion(client, worker, runs["best"]).champion
    make_champion(client, worker, runs["bad"])
    assert make_champion(client, worker, runs["best"], reason=None).champion == forced
    assert "forced.reason" not in client.get_model_version(MNIST_MODEL, forced).tags


NUMBERS = itertools.count()


@pytest.fixture
def named(client, place, tmp_path):
    """Returns a run for a data set of this name; the registered model is deleted afterwards."""
    made = []

    def run_of(name):
        made.append(name)
        # Another file for each: the worker has imported the others.
        file = place / "experiments" / f"named_{next(NUMBERS)}.py"
        file.write_text(
            "from dataclasses import replace\n"
            "from experiments.tiny import experiment as tiny, few_images\n\n\n"
            f"def images():\n    return replace(few_images(), model_name={name!r})\n\n\n"
            "experiment = replace(tiny, dataset=images)\n"
        )
        experiment = experiment_id(client, file.stem, MLRUNS)
        run = client.create_run(experiment, tags={"kind": "study"}, run_name=file.stem)
        champions.save_memorising_model(tmp_path / "model.keras", 20)
        champions.log_winner(client, run.info.run_id, tmp_path / "model.keras", tmp_path)
        client.set_terminated(run.info.run_id)
        return run.info.run_id

    yield run_of
    for file in (place / "experiments").glob("named_*.py"):
        file.unlink()
    for name in set(store.names(client)) & set(made):
        client.delete_registered_model(name)


@pytest.mark.parametrize("name", ["Ada's digits", 'the "digits"'])
def test_a_data_sets_name_may_have_quotes(client, worker, named, name):
    run_id = named(name)
    for _ in range(2):
        promote(Request(experiment=ExperimentId("named"), run=run_id), worker)
    assert aliases.current(client, name).champion == "1"
    assert len(store.versions(client, name)) == 1


@pytest.mark.parametrize("name", ["both ' and \"", "a/b", "a:b", "a?b"])
def test_a_name_that_mlflow_does_not_take_is_refused_before_the_test(client, worker, named, name):
    run_id = named(name)
    with pytest.raises(UserError, match="give the Dataset another `model_name`"):
        promote(Request(experiment=ExperimentId("named"), run=run_id), worker)
    assert openings(client, run_id) == []
    assert name not in store.names(client)


# An MLflow that goes away after the test set was opened


def unreachable(*arguments, **options):
    raise MlflowException("Max retries exceeded with url")


def test_the_scores_are_printed_even_if_they_cannot_be_logged(
    client, worker, runs, monkeypatch, capsys
):
    make_champion(client, worker, runs["bad"])
    evaluate = worker.evaluate

    def evaluated(*arguments, **options):
        monkeypatch.setattr(type(client), "log_batch", unreachable)
        return evaluate(*arguments, **options)

    monkeypatch.setattr(worker, "evaluate", evaluated)
    with pytest.raises(UserError, match="cannot be reached"):
        promote(Request(experiment=ExperimentId("tiny"), run=runs["good"]), worker)
    assert "accuracy 94.00% of 500 images" in capsys.readouterr().out


def test_the_curves_are_fetched_before_the_test(client, worker, searched, monkeypatch):
    (run,) = client.search_runs([searched.info.experiment_id], "tags.kind = 'confirmation'")
    opened = len(openings(client, run.info.run_id))
    monkeypatch.setattr(type(client), "download_artifacts", unreachable)
    with pytest.raises(UserError, match="cannot be reached"):
        make_champion(client, worker, run.info.run_id)
    assert len(openings(client, run.info.run_id)) == opened


def test_the_card_says_whether_a_model_is_of_a_trial_or_of_a_confirmation(client, worker, searched):
    (confirmation,) = client.search_runs(
        [searched.info.experiment_id], "tags.kind = 'confirmation'"
    )
    make_champion(client, worker, confirmation.info.run_id)
    version = store.version(client, MNIST_MODEL, "champion")
    assert "trained again on a fresh seed" in version.description


def test_a_trial_can_be_promoted_while_its_file_exists(client, worker, searched):
    training = client.search_runs(
        [searched.info.experiment_id], "tags.kind = 'trial' and tags.`optuna.state` = 'COMPLETE'"
    )[-1]
    make_champion(client, worker, training.info.run_id)
    version = store.version(client, MNIST_MODEL, "champion")
    assert version.run_id == training.info.run_id
    assert "this is a single training" in version.description
    assert "digit_recog_mnist_cnn.keras" in {
        file.path for file in client.list_artifacts(training.info.run_id)
    }


def test_each_version_has_the_scores_of_its_own_model(client, worker, shared_worker, tmp_path):
    """A study that was extended has another winner; the run has the scores of the last test."""
    champions.save_memorising_model(tmp_path / "model.keras", 45)
    run_id = champions.log_study(client, "extended", tmp_path / "model.keras", tmp_path)
    assert cli_main("evaluate", "--model", run_id, "--data", "tiny") == 0  # opened once already
    first = make_champion(client, worker, run_id).champion
    champions.save_memorising_model(tmp_path / "model.keras", 50)
    champions.log_winner(client, run_id, tmp_path / "model.keras", tmp_path)
    second = make_champion(client, worker, run_id).champion
    found = [client.get_model_version(MNIST_MODEL, number) for number in (first, second)]
    assert [version.run_id for version in found] == [run_id, run_id]
    assert [version.tags["test_accuracy"] for version in found] == ["0.91", "0.9"]
    assert client.get_run(run_id).data.metrics["test_accuracy"] == 0.9


def test_a_champion_whose_run_was_deleted_is_compared_and_replaced(client, worker, runs, tmp_path):
    champions.save_memorising_model(tmp_path / "model.keras", 60)
    run_id = champions.log_study(client, "deleted", tmp_path / "model.keras", tmp_path)
    make_champion(client, worker, run_id)
    client.delete_run(run_id)
    make_champion(client, worker, runs["best"], reason=None)
    assert store.version(client, MNIST_MODEL, "champion").run_id == runs["best"]
    (own,) = client.search_runs(
        [client.get_experiment_by_name(lockbox.EVALUATIONS).experiment_id],
        "tags.kind = 'evaluation'",
    )
    assert openings(client, own.info.run_id)[-1]["verb"] == "promote, as the champion"
    client.delete_run(own.info.run_id)


def test_a_champion_whose_version_was_deleted_is_replaced(client, worker, runs, tmp_path):
    champions.save_memorising_model(tmp_path / "model.keras", 55)
    run_id = champions.log_study(client, "to be deleted", tmp_path / "model.keras", tmp_path)
    before = make_champion(client, worker, run_id)
    client.delete_model_version(MNIST_MODEL, before.champion)
    after = make_champion(client, worker, runs["good"], reason=None)
    assert store.version(client, MNIST_MODEL, "champion").run_id == runs["good"]
    assert after.previous == before.previous


def test_rollback_goes_back_and_forth(client, worker, runs, capsys):
    before = make_champion(client, worker, runs["good"])
    assert cli_main("rollback") == 0
    assert aliases.current(client, MNIST_MODEL) == Aliases(before.previous, before.champion)
    assert cli_main("rollback") == 0
    assert aliases.current(client, MNIST_MODEL) == before
    assert f"champion is version {before.champion} again" in capsys.readouterr().out


def test_rollback_goes_back_if_the_champions_alias_was_deleted(client, worker, runs, capsys):
    make_champion(client, worker, runs["bad"])
    before = make_champion(client, worker, runs["good"])
    client.delete_registered_model_alias(MNIST_MODEL, "champion")
    assert cli_main("rollback") == 0
    assert aliases.current(client, MNIST_MODEL) == Aliases(before.previous, None)
    said = capsys.readouterr().out
    assert f"champion is version {before.previous} again; there was none" in said


def test_an_earlier_winner_does_not_stand_in_for_the_newest_one(client, tmp_path):
    champions.save_memorising_model(tmp_path / "model.keras", 1)
    run_id = champions.log_study(client, "extended twice", tmp_path / "model.keras", tmp_path)
    champions.log_winner(client, run_id, tmp_path / "model.keras", tmp_path)
    experiment = client.get_run(run_id).info.experiment_id
    newest = client.search_logged_models(
        [experiment],
        f"source_run_id = '{run_id}'",
        order_by=[{"field_name": "creation_timestamp", "ascending": False}],
    )[0]
    shutil.rmtree(newest.artifact_location.removeprefix("file://"))
    with pytest.raises(UserError, match="has no model, or it is gone"):
        models.from_run(client, client.get_run(run_id), tmp_path)


# Kills, and two at once


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it, and only locks are released."""


WRITES = (
    "log_batch", "set_tag", "log_dict", "log_artifact", "log_artifacts", "create_model_version",
    "update_model_version", "set_model_version_tag", "set_registered_model_tag",
    "set_registered_model_alias", "delete_registered_model_tag",
)  # fmt: skip


def test_after_a_kill_before_any_write_the_same_command_finishes_the_promotion(
    client, worker, runs, monkeypatch
):
    """`test_aliases` kills at random; this kills before the first write, the second, and so on."""
    request = Request(experiment=ExperimentId("tiny"), run=runs["best"])
    make_champion(client, worker, runs["bad"])
    before = make_champion(client, worker, runs["good"])
    for allowed in range(100):
        for alias in ("champion", "previous"):
            client.set_registered_model_alias(MNIST_MODEL, alias, getattr(before, alias))
        with monkeypatch.context() as patch:
            count = kill_after(patch, type(client), allowed)
            with contextlib.suppress(Killed):
                promote(request, worker)
        killed = count() > allowed
        promote(request, worker)
        assert aliases.current(client, MNIST_MODEL).previous == before.champion
        assert store.version(client, MNIST_MODEL, "champion").run_id == runs["best"]
        assert client.get_registered_model(MNIST_MODEL).tags == {}
        if not killed:
            break
    assert allowed >= 8


def kill_after(patch, client_type, allowed):
    """Allow this many writes; return a function that counts how many were attempted."""
    wanted = 0

    def guarded(write):
        def method(*arguments, **options):
            nonlocal wanted
            wanted += 1
            if wanted > allowed:
                raise Killed
            return write(*arguments, **options)

        return method

    for name in WRITES:
        patch.setattr(client_type, name, guarded(getattr(client_type, name)))
    return lambda: wanted


@pytest.mark.parametrize("overtaking", ["good", "best"])
def test_if_the_champion_changes_meanwhile_the_new_one_is_compared_too(
    client, worker, runs, monkeypatch, capsys, overtaking
):
    before = make_champion(client, worker, runs["bad"])
    install = Promotion._install

    def overtaken(self, now, gate):
        monkeypatch.undo()
        make_champion(client, worker, runs[overtaking])
        return install(self, now, gate)

    monkeypatch.setattr(Promotion, "_install", overtaken)
    after = make_champion(client, worker, runs["best"], reason=None)
    champion = store.version(client, MNIST_MODEL, "champion")
    assert champion.run_id == runs["best"]
    said = capsys.readouterr().out
    assert "another model became the champion meanwhile" in said
    if overtaking == "best":  # the same command twice
        assert after.previous == before.champion
        assert "is the champion already" in said
    else:
        good = client.get_model_version(MNIST_MODEL, after.previous)
        assert good.run_id == runs["good"]
        assert f"the champion (version {good.version})" in champion.description


@pytest.mark.slow
def test_of_two_promotions_at_once_the_later_is_compared_with_the_earlier(client, worker, runs):
    make_champion(client, worker, runs["bad"])
    both = [
        subprocess.Popen(
            [*COMMAND, "promote", "--run", runs[name]],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for name in ("good", "best")
    ]  # fmt: skip
    ended = [process.communicate() for process in both]
    now = aliases.current(client, MNIST_MODEL)
    by_version = {str(v.version): v.run_id for v in versions(client)}
    champion, previous = by_version[now.champion], by_version[now.previous]
    assert {champion, previous} <= set(runs.values())
    for process, (_, err), run_id in zip(both, ended, (runs["good"], runs["best"]), strict=True):
        if process.returncode == 0:
            assert run_id in (champion, previous)
        else:  # it came second and was worse than the first
            assert "refused" in err and run_id != champion
    version = store.version(client, MNIST_MODEL, "champion")
    assert f"the champion (version {now.previous})" in version.description


# Bad input, through the command line's own function


def cli_main(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    return ended.value.code


@pytest.fixture
def shared_worker(worker, monkeypatch):
    champions.share(worker, monkeypatch)


@pytest.fixture(scope="module")
def bad(client, place, searched, tmp_path_factory):
    """Files and runs that cannot be used, named by what is wrong with them."""
    folder = tmp_path_factory.mktemp("bad")
    inputs = keras.Input((28, 28, 1))
    outputs = keras.layers.Dense(10, "softmax")(keras.layers.Flatten()(inputs))
    keras.Model(inputs, outputs).save(folder / "good.keras")
    (folder / "cut.keras").write_bytes((folder / "good.keras").read_bytes()[:-50])
    layer = keras.layers.Lambda(lambda x: x, output_shape=(10,))
    keras.Model(inputs, layer(outputs)).save(folder / "lambda.keras")
    eleven = keras.layers.Dense(11, "softmax")(keras.layers.Flatten()(inputs))
    keras.Model(inputs, eleven).save(folder / "eleven.keras")
    np.savez(folder / "colour.npz", x=np.zeros((2, 32, 32, 3), np.uint8), y=np.array([0, 1]))
    with zipfile.ZipFile(folder / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(100 * 2**20), compresslevel=1)
    (folder / "foreign").mkdir()
    shutil.copy(folder / "good.keras", folder / "foreign" / MODEL_FILE)
    experiment = client.get_experiment_by_name("tiny").experiment_id
    trial = {"kind": "trial", "journal": "tiny-1/trial-00099", "optuna.state": "PRUNED"}
    study = {"kind": "study"}
    for name, tags, status in [
        ("gone", trial, "KILLED"),
        ("outside", {"kind": "trial", "journal": str(folder / "foreign")}, "FINISHED"),
        ("unknown", {}, "FINISHED"),
        ("failed", study, "FAILED"),  # of a search in which no trial completed
        ("running", study, "RUNNING"),
    ]:
        run = client.create_run(experiment, tags=tags, run_name="tiny-9")
        client.update_run(run.info.run_id, status)
        (folder / name).write_text(run.info.run_id)
    (folder / "searched").write_text(searched.info.run_id)
    other = champions.log_study(client, "eleven", folder / "eleven.keras", folder)
    (folder / "eleven").write_text(other)
    moved = champions.log_study(client, "moved", folder / "good.keras", folder)
    other = Dataset("tiny", "0" * 36, source_type="local", source="{}")
    client.log_inputs(moved, [DatasetInput(other)])
    (folder / "moved").write_text(moved)
    return folder


CASES = [
    (["promote", "--run", "f" * 32], 2, "there is no run"),
    (["promote", "--run", "not/an/id"], 2, "there is no run"),
    (["promote", "--run", "{gone}"], 1, "has no model, or it is gone; the trial was stopped early"),
    (["promote", "--run", "{outside}"], 1, "has no model, or it is gone"),
    (["promote", "--run", "{unknown}"], 1, "a study's, a trial's or a confirmation's run"),
    (["promote", "--run", "{failed}"], 1, "tiny-9) has no model"),
    (["promote", "--run", "{running}"], 1, "is not finished"),
    (["promote", "--run", "{eleven}"], 1, "11 classes"),
    (["replay", "f" * 32], 2, "there is no run"),
    (["replay", "{unknown}"], 1, "a study's, a trial's or a confirmation's run"),
    (["replay", "{failed}"], 1, "not a trial or a confirmation whose training"),
    (["promote", "--run", "{moved}"], 1, "the experiment's data set has changed"),
    (["promote", "smoke"], 1, "make search EXPERIMENT=smoke"),
    (["promote", "nope"], 2, "no experiment 'nope'; valid: "),
    (["promote", "tiny", "--force"], 2, "--reason"),
    (
        ["promote", "--run", "{searched}", "--ensemble"],
        1,
        "has one confirmed seed, and an ensemble",
    ),
    (["promote", "--run", "{eleven}", "--ensemble"], 1, "has no confirmed seeds"),
    (["promote", "tiny", "--ensemble", "--min-accuracy", "0.5"], 2, "has no front"),
    (["pull", "--alias", "nope"], 2, "no alias 'nope'; valid: champion, previous"),
    (["pull", f"models:/{MNIST_MODEL}/1", "--alias", "previous"], 2, "not allowed with"),
    (["pull", "--to", "{good.keras}"], 1, "cannot write"),
    (["pull", "models:/nope@champion"], 2, "'nope'; valid: digit_recog_mnist_cnn"),
    (["pull", f"models:/{MNIST_MODEL}@nope"], 2, "no alias 'nope'; valid: champion, previous"),
    (["pull", f"models:/{MNIST_MODEL}/99"], 2, "has no version 99; valid: 1"),
    (["pull", f"models:/{MNIST_MODEL}/latest"], 2, "valid: models:/NAME@ALIAS, models:/NAME/VER"),
    (["pull", f"models:/{MNIST_MODEL}/1", "--model-name", MNIST_MODEL], 2, "leave one out"),
    (["evaluate", "--model", "models:/nope/1", "--data", "tiny"], 2, "model 'nope'; valid:"),
    (["evaluate", "--model", "models:nope", "--data", "tiny"], 2, "valid: models:/NAME@ALIAS"),
    (
        ["evaluate", "--model", "champion", "--data", "tiny", "--pictures", "{good.keras}"],
        1,
        "cannot write",
    ),
    (
        ["evaluate", "--model", "champion", "--data", "tiny", "--pictures", "/proc"],
        1,
        "cannot write /proc",
    ),
    (["evaluate", "--model", "nope", "--data", "tiny"], 2, "no alias 'nope'"),
    (
        ["evaluate", "--model", "champion", "--data", "nope"],
        2,
        "valid: digits, images, keras_tuner_efficientnet",
    ),
    (["evaluate", "--model", "{gone}", "--data", "tiny"], 1, "has no model, or it is gone"),
    (["evaluate", "--model", "f" * 32, "--data", "tiny"], 2, "there is no run"),
    (["evaluate", "--model", "champion", "--data", "{colour.npz}"], 1, "but colour has"),
    (["evaluate", "--model", "{lambda.keras}", "--data", "tiny"], 1, "Lambda layer"),
    (["evaluate", "--model", "{cut.keras}", "--data", "tiny"], 1, "damaged"),
    (["evaluate", "--model", "{bomb.keras}", "--data", "tiny"], 1, "would unpack to 100 MiB"),
    (["evaluate", "--model", "{outside}", "--data", "tiny"], 1, "has no model, or it is gone"),
    (["evaluate", "--model", "{eleven.keras}", "--data", "tiny"], 1, "11 classes, mnist-first-600"),
    (["evaluate", "--model", "{missing.keras}", "--data", "tiny"], 2, "there is no file"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), CASES)
def test_bad_input_is_one_line_and_nothing_moves(
    promoted, client, bad, shared_worker, capfd, arguments, code, words
):
    before, count = aliases.current(client, MNIST_MODEL), len(versions(client))
    champion = store.version(client, MNIST_MODEL, "champion").run_id
    opened = len(openings(client, champion))
    assert cli_main(*(filled(text, bad) for text in arguments)) == code
    said = capfd.readouterr().err.strip().splitlines()
    assert len(said) == 1 and said[0].startswith("mnist-cnn: ") and words in said[0]
    assert aliases.current(client, MNIST_MODEL) == before
    assert len(versions(client)) == count
    assert len(openings(client, champion)) == opened


def test_a_failed_pull_leaves_nothing(promoted, tmp_path, capfd):
    (tmp_path / MODEL_FILE).mkdir()
    assert cli_main("pull", "--to", str(tmp_path)) == 1
    assert "cannot write" in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [MODEL_FILE]


@pytest.mark.parametrize(
    "arguments",
    [
        ["pull"],
        ["rollback"],
        ["promote", "tiny"],
        ["promote", "--run", "f" * 32],
        ["replay", "f" * 32],
        ["evaluate", "--model", "champion", "--data", "tiny"],
    ],
)
def test_a_registry_that_cannot_be_reached_is_one_line(
    shared_worker, monkeypatch, capfd, arguments
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:secret@127.0.0.1:1")
    assert cli_main(*arguments) == 1
    said = capfd.readouterr().err
    assert said == (
        "mnist-cnn: MLflow at http://***@127.0.0.1:1 cannot be reached; start it, or set "
        "MLFLOW_TRACKING_URI\n"
    )


def test_a_database_that_cannot_be_opened_is_one_line(monkeypatch, capfd, tmp_path):
    (tmp_path / "mlflow.db").write_text("this is no database" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    assert cli_main("pull") == 1
    said = capfd.readouterr().err
    assert said.startswith("mnist-cnn: MLflow at sqlite:///") and "is not a database" in said
    assert len(said.splitlines()) == 1


def test_a_champion_whose_files_are_gone_is_one_line_and_nothing_moves(
    client, worker, runs, tmp_path, capfd
):
    before = make_champion(client, worker, runs["good"])
    version = client.get_model_version(MNIST_MODEL, before.previous)
    logged = client.get_logged_model(version.source.removeprefix("models:/"))
    folder = Path(logged.artifact_location.removeprefix("file://"))
    kept = shutil.move(folder, tmp_path / "kept")
    assert cli_main("rollback") == 1
    assert "are gone" in capfd.readouterr().err
    assert cli_main("pull", "--alias", "previous", "--to", str(tmp_path)) == 1
    assert "are gone" in capfd.readouterr().err
    assert aliases.current(client, MNIST_MODEL) == before
    shutil.move(kept, folder)


def filled(text, folder):
    """Replace `{name}` by that file in `folder`, or by its content if it has no suffix."""
    if not text.startswith("{"):
        return text
    path = folder / text[1:-1]
    return str(path) if path.suffix else path.read_text()


# evaluate


def test_evaluate_prints_a_table_and_counts_the_opening(promoted, client, shared_worker, capsys):
    assert cli_main("evaluate", "--model", "champion", "--data", "tiny") == 0
    said = capsys.readouterr().out
    count = len(openings(client, store.version(client, MNIST_MODEL, "champion").run_id))
    assert re.search(rf"^test set +read by ada, the {lockbox.ordinal(count)} time", said, re.M)
    for words in ("95 % interval", "nats", "ms for one image", "precision", "champion, version"):
        assert words in said


def test_a_pulled_file_is_recorded_on_its_run_and_a_foreign_one_gets_a_new_run(
    promoted, client, shared_worker, bad, capsys, tmp_path
):
    run_id = store.version(client, MNIST_MODEL, "champion").run_id
    before = len(openings(client, run_id))
    assert cli_main("pull", "--to", str(tmp_path)) == 0
    capsys.readouterr()
    pulled = str(tmp_path / "digit_recog_mnist_cnn.keras")
    assert cli_main("evaluate", "--model", pulled, "--data", "tiny", "--json") == 0
    assert json.loads(capsys.readouterr().out)["test_openings"] == before + 1
    assert len(openings(client, run_id)) == before + 1

    for count in (1, 2):
        good = str(bad / "good.keras")
        assert cli_main("evaluate", "--model", good, "--data", "tiny", "--json") == 0
        assert json.loads(capsys.readouterr().out)["test_openings"] == count
    (own,) = client.search_runs(
        [client.get_experiment_by_name("evaluations").experiment_id], "tags.kind = 'evaluation'"
    )
    assert len(openings(client, own.info.run_id)) == 2


def test_an_opening_for_a_searchs_file_is_recorded_on_the_run_that_trained_it(
    promoted, client, shared_worker, searched, place, capsys, tmp_path
):
    (trial,) = [
        run
        for run in client.search_runs([searched.info.experiment_id], "tags.kind = 'trial'")
        if run.data.tags.get("optuna.trial") not in (None, searched.data.tags["best.trial"])
    ]
    file = place / "mlruns" / "checkpoints" / trial.data.tags["journal"] / MODEL_FILE
    named = ["--model", str(file), "--data", "tiny", "--pictures", str(tmp_path)]
    assert cli_main("evaluate", *named) == 0
    assert (tmp_path / "curves.png").exists()  # of that training
    out = capsys.readouterr().out
    assert "the first time for this model and the " in out
    assert f"recorded on run {trial.info.run_id}" in out


def test_the_users_own_images_are_not_a_test_set_and_need_no_mlflow(
    shared_worker, bad, images, capsys, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    np.savez(tmp_path / "own.npz", x=images.x, y=images.y)
    arguments = ["--model", bad / "good.keras", "--data", tmp_path / "own.npz", "--json"]
    assert cli_main("evaluate", *map(str, arguments), "--pictures", str(tmp_path / "seen")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["test_openings"] is None and found["images"] == 400
    assert (tmp_path / "seen" / "confusion.png").exists()


def test_the_scores_are_printed_before_the_curves_are_fetched(
    promoted, client, shared_worker, monkeypatch, capsys, tmp_path
):
    monkeypatch.setattr(type(client), "list_artifacts", unreachable)
    named = ["--model", "champion", "--data", "tiny", "--pictures", str(tmp_path)]
    assert cli_main("evaluate", *named) == 1
    said = capsys.readouterr()
    assert "95 % interval" in said.out and "cannot be reached" in said.err


def test_pictures_of_a_model_whose_run_is_gone_have_no_curves(
    promoted, client, shared_worker, searched, images, capsys, tmp_path
):
    np.savez(tmp_path / "own.npz", x=images.x, y=images.y)
    source = logged_model(client, searched.info.run_id)
    version = client.create_model_version(MNIST_MODEL, source, "0" * 32)
    model, data = f"models:/{MNIST_MODEL}/{version.version}", str(tmp_path / "own.npz")
    named = ["--model", model, "--data", data, "--pictures", str(tmp_path / "seen")]
    assert cli_main("evaluate", *named) == 0
    assert "95 % interval" in capsys.readouterr().out
    assert not (tmp_path / "seen" / "curves.png").exists()
    client.delete_model_version(MNIST_MODEL, version.version)
