"""`promote --ensemble` and `--calibrate` after a real search: models derived from others."""

import json
import shutil
import subprocess
import sys

import champions
import keras
import numpy as np
import pytest
from projects import command, here
from scipy.special import softmax

from mnist_cnn.datasets import mnist
from mnist_cnn.errors import UserError
from mnist_cnn.evaluation.worker import ModelWorker
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.keras_file import model_digest
from mnist_cnn.mlruns import MODEL_FILE
from mnist_cnn.promotion.chosen import newest_study
from mnist_cnn.promotion.promote import Request, promote
from mnist_cnn.registry import models, store
from mnist_cnn.registry.aliases import current
from mnist_cnn.registry.store import MNIST_MODEL
from mnist_cnn.training import saved_model


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A project in which two configurations were searched, and the better one has three seeds."""
    root = tmp_path_factory.mktemp("project")
    champions.write_project(root)
    file = root / "experiments" / "tiny.py"
    file.write_text(file.read_text().replace("seeds=1", "seeds=3, max_seeds=3"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        done = here("search", "tiny", "--workers", "1", cwd=root)
        assert done.returncode == 0, done.stderr
        yield root


@pytest.fixture(scope="module")
def worker(root):
    with ModelWorker() as worker:
        yield worker


@pytest.fixture(autouse=True)
def shared(worker, monkeypatch):
    champions.share(worker, monkeypatch)


@pytest.fixture(scope="module")
def client(root):
    return store.connect()


@pytest.fixture(scope="module")
def study(client):
    return newest_study(client, ExperimentId("tiny"))


def runs(client, study, kind, more=""):
    return client.search_runs([study.info.experiment_id], f"tags.kind = '{kind}'{more}")


def derived(client, study, name="tiny-1, 3 seeds averaged, calibrated"):
    """The runs of a derived model."""
    return runs(client, study, "derived", f" and attributes.run_name = '{name}'")


@pytest.fixture(scope="module")
def members(client, study, root):
    """The files of the three seeds, and the digests that they have before anything is promoted."""
    found = sorted(run.data.tags["journal"] for run in runs(client, study, "confirmation"))
    files = [root / "mlruns" / "checkpoints" / journal / MODEL_FILE for journal in found]
    return {file: model_digest(file) for file in files}


BOTH = {"ensemble": True, "calibrate": True}
OPTIONS = ("--ensemble", "--calibrate")


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.fixture(scope="module")
def promoted(root, client, study, members, worker):
    """What the command printed, after one that was killed before it opened the test set."""

    def kill(*arguments, **options):
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(client), "log_batch", kill)
        with pytest.raises(Killed):
            promote(Request(experiment=ExperimentId("tiny"), **BOTH), worker)
    with pytest.MonkeyPatch.context() as patch:
        champions.share(worker, patch)
        return here("promote", "tiny", *OPTIONS, cwd=root)


def test_it_is_tested_registered_and_its_cost_is_told(promoted, client, study):
    assert promoted.returncode == 0, promoted.stderr
    assert "3 seeds averaged: " in promoted.stdout and "; one alone: " in promoted.stdout
    assert "temperature " in promoted.stdout and " before, " in promoted.stdout
    assert "the first time for this model and the first in all" in promoted.stdout
    (run,) = derived(client, study)  # one, although a command was killed
    version = store.version(client, MNIST_MODEL, "champion")
    assert version.run_id == run.info.run_id
    assert run.data.tags["mlflow.parentRunId"] == study.info.run_id
    assert run.data.tags["gate"].startswith("passed")
    assert run.data.metrics["test_accuracy"] > 0.15  # after one epoch of a few images
    for run in runs(client, study, "confirmation"):
        assert f"mnist-cnn replay {run.info.run_id}" in version.description
    assert int(version.tags["bytes"]) > 0 and float(version.tags["milliseconds"]) > 0
    assert "tiny-1, 3 seeds averaged, calibrated" in version.description
    assert "temperature " in version.description


def test_the_studys_run_keeps_its_own_model_and_gets_no_scores(promoted, client, study, tmp_path):
    run = client.get_run(study.info.run_id)
    assert "test_accuracy" not in run.data.metrics and "gate" not in run.data.tags
    (logged,) = client.search_logged_models(
        [study.info.experiment_id], f"source_run_id = '{study.info.run_id}'"
    )
    assert models.from_run(client, run, tmp_path).model_id == logged.model_id


def test_the_champion_is_the_average_of_the_members(promoted, root, client, study, members):
    assert {file: model_digest(file) for file in members} == members  # they are as they were
    assert here("pull", "--to", "pulled", cwd=root).returncode == 0
    x = mnist().test().x[:500]
    champion = saved_model.load(root / "pulled" / MODEL_FILE)
    each = [np.log(saved_model.predict(saved_model.load(file), x)) for file in members]
    (run,) = derived(client, study)
    powers = [np.exp(logits / run.data.metrics["temperature"]) for logits in each]
    expected = np.mean([power / power.sum(axis=1, keepdims=True) for power in powers], axis=0)
    assert np.allclose(saved_model.predict(champion, x), expected, atol=1e-4)


def test_plain_keras_loads_it_without_this_package(promoted, root):
    here("pull", "--to", "pulled", cwd=root)
    code = f"""
import sys
sys.modules["mnist_cnn"] = None  # any import of it would raise
import keras, numpy as np
model = keras.models.load_model("pulled/{MODEL_FILE}")
print(float(np.sum(model.predict(np.zeros((1, 28, 28, 1)), verbose=0))))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert float(done.stdout.split()[-1]) == pytest.approx(1, abs=1e-5)


def test_it_is_evaluated_by_each_name_and_recorded_on_its_run(promoted, root, client, study):
    (run,) = derived(client, study)
    here("pull", "--to", "pulled", cwd=root)
    for model in ("champion", run.info.run_id, f"pulled/{MODEL_FILE}"):
        before = int(client.get_run(run.info.run_id).data.tags["test.openings"])
        done = here("evaluate", "--model", model, "--data", "tiny", "--json", cwd=root)
        assert json.loads(done.stdout)["test_openings"] == before + 1
        assert client.get_run(run.info.run_id).data.tags["test.openings"] == str(before + 1)


def test_the_scores_are_kept_although_the_single_model_could_not_be_timed(
    promoted, worker, client, study, monkeypatch, capsys
):
    def lost(model_file):
        raise UserError("out of memory")

    monkeypatch.setattr(worker, "latencies_ms", lost)
    with pytest.raises(UserError, match="out of memory"):
        promote(Request(experiment=ExperimentId("tiny"), ensemble=True), worker)
    (run,) = derived(client, study, "tiny-1, 3 seeds averaged")
    assert run.data.metrics["test_accuracy"] > 0.15
    assert "of 500 images, 95 % interval" in capsys.readouterr().out


def test_the_same_again_is_the_champion_already_whatever_run_of_it_is_named(
    promoted, root, client, study
):
    confirmation = runs(client, study, "confirmation")[0].info.run_id
    for named in (["tiny"], ["--run", study.info.run_id], ["--run", confirmation]):
        done = here("promote", *named, *OPTIONS, cwd=root)
        assert ", 3 seeds averaged, calibrated (run " in done.stdout, done.stderr
        assert done.stdout.rstrip().endswith("is the champion already")


def test_each_derived_model_is_another_one_and_keeps_its_version(promoted, root, client, study):
    first = current(client, MNIST_MODEL).champion
    forced = ["--force", "--reason", "for the test"]
    for options in ([], ["--calibrate"], ["--ensemble"]):
        assert here("promote", "tiny", *options, *forced, cwd=root).returncode == 0
    names = {run.info.run_id: run.info.run_name for run in runs(client, study, "derived")}
    names[study.info.run_id] = "tiny-1"
    versions = client.search_model_versions(f"name = '{MNIST_MODEL}'")
    by_number = sorted(versions, key=lambda version: int(version.version))
    assert [names[version.run_id] for version in by_number] == [
        "tiny-1, 3 seeds averaged, calibrated",
        "tiny-1",
        "tiny-1, calibrated",
        "tiny-1, 3 seeds averaged",
    ]
    assert here("promote", "tiny", *OPTIONS, *forced, cwd=root).returncode == 0
    assert current(client, MNIST_MODEL).champion == first  # the same file, so the same version


def test_a_calibrated_model_is_the_runs_with_a_temperature(promoted, root, client, study, tmp_path):
    here("promote", "tiny", "--calibrate", "--force", "--reason", "for the test", cwd=root)
    own = models.from_run(client, client.get_run(study.info.run_id), tmp_path)
    version = store.version(client, MNIST_MODEL, "champion")
    champion = models.from_version(version, tmp_path)
    x = mnist().test().x[:500]
    before, after = (
        saved_model.predict(saved_model.load(each.file), x) for each in (own, champion)
    )
    assert np.array_equal(before.argmax(axis=1), after.argmax(axis=1))
    (run,) = derived(client, study, "tiny-1, calibrated")
    metrics = run.data.metrics
    assert np.allclose(after, softmax(np.log(before) / metrics["temperature"], axis=1), atol=1e-4)
    line = f"temperature {metrics['temperature']:g}, chosen on 100 validation images"
    assert line in version.description
    assert 0 < metrics["calibration_error_after"] < 1 and metrics["calibration_error_before"] > 0


# Bad input


def refused(root, *arguments):
    """The one line of a command that has to be refused; nothing is registered."""
    before = current(store.connect(), MNIST_MODEL)
    done = here("promote", *arguments, cwd=root)
    (line,) = done.stderr.splitlines()
    assert done.returncode in (1, 2) and current(store.connect(), MNIST_MODEL) == before
    return line


def test_a_trial_that_was_not_confirmed_has_no_ensemble(promoted, root, client, study):
    (other,) = [
        run
        for run in runs(client, study, "trial")
        if run.data.tags["optuna.trial"] != study.data.tags["best.trial"]
    ]
    line = refused(root, "--run", other.info.run_id, "--ensemble")
    assert "has no confirmed seeds, and an ensemble takes two or more" in line


def test_the_run_of_a_derived_model_is_not_promoted_itself(promoted, root, client, study):
    (run,) = derived(client, study)
    assert "name the run that it is nested in" in refused(root, "--run", run.info.run_id)


def test_a_damaged_or_missing_member_is_one_line(promoted, root, members, tmp_path):
    file = list(members)[1]
    kept = shutil.copy(file, tmp_path)
    file.write_bytes(file.read_bytes()[:-100])
    assert f"the model {file} is damaged" in refused(root, "tiny", "--ensemble")
    file.unlink()
    assert "has no model, or it is gone" in refused(root, "tiny", "--ensemble")
    shutil.copy(kept, file)


def test_a_member_that_maps_other_images_is_one_line(promoted, root, members, tmp_path):
    file = list(members)[1]
    kept = shutil.copy(file, tmp_path)
    inputs = keras.Input((14, 14, 1))
    outputs = keras.layers.Dense(10, "softmax")(keras.layers.Flatten()(inputs))
    keras.Model(inputs, outputs).save(file)
    assert "models of different images cannot be averaged" in refused(root, "tiny", "--ensemble")
    shutil.copy(kept, file)


@pytest.mark.slow
def test_a_member_is_replayed(promoted, root, client, study):
    run = runs(client, study, "confirmation")[0].info.run_id
    done = command("replay", run, cwd=root)
    assert done.returncode == 0 and "identical" in done.stdout, done.stderr
