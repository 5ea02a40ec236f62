"""A whole search, by the real command: what it leaves in Optuna, in MLflow and on disk.

Most tests look at one search, with two workers and two rungs.
"""

from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import optuna
import pytest
from faults import agrees, trial_runs
from mlflow import MlflowClient
from optuna.trial import TrialState
from projects import command, copy_database, copy_project, here

from mnist_cnn.datasets import mnist, split
from mnist_cnn.study.chains import RUNG, continued, superseded
from mnist_cnn.study.study import EARLIER

# Small networks on few images, and time enough on any machine.
EXPERIMENT = """
from dataclasses import replace
from experiments.smoke import experiment as smoke
from mnist_cnn.experiment import Minimize, Screen
from search_spaces.few import few

small = {"blocks": 2, "filters_0": 8, "filters_1": 16, "dense": 64}
screen = Screen(rungs=(1, 2), one_of=2)
experiment = replace(
    smoke, dataset=few, baseline=small, trials=4, epochs=3, batch_size=20, screen=screen,
    timeout_seconds=3600, objectives=(Minimize("val_calibrated_loss"),),
)
"""
# Not beside the experiment, which a replay would then import as it was.
DATASET = """
from mnist_cnn.datasets import Dataset, mnist


def few() -> Dataset:
    return mnist().first(1200)
"""


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A project's root after a search, and what the command printed."""
    root = copy_project(tmp_path_factory.mktemp("searched"))
    (root / "experiments/screened.py").write_text(EXPERIMENT)
    (root / "search_spaces/few.py").write_text(DATASET)
    done = command("search", "screened", "--workers", "2", cwd=root)
    assert done.returncode == 0, done.stderr
    return root, done


@pytest.fixture(scope="module")
def study(searched):
    return optuna.load_study(
        study_name="screened-1", storage=f"sqlite:///{searched[0]}/mlruns/optuna.db"
    )


@pytest.fixture(scope="module")
def client(searched):
    return MlflowClient(f"sqlite:///{searched[0]}/mlruns/mlflow.db")


def runs(client, kind):
    experiment = client.get_experiment_by_name("screened")
    return client.search_runs([experiment.experiment_id], f"tags.kind = '{kind}'")


def test_optuna_mlflow_and_the_files_tell_the_same(searched):
    agrees(searched[0], "screened-1")


def test_the_first_trial_is_the_baseline(study):
    assert study.trials[0].params["blocks"] == 2
    assert study.trials[0].params["batch_normalisation"] == 0


def test_parameters_of_a_block_that_a_trial_does_not_have_do_not_exist(study):
    for trial in study.trials:
        blocks = trial.params["blocks"]
        assert [f"filters_{i}" in trial.params for i in range(4)] == [i < blocks for i in range(4)]


def test_the_better_half_is_continued_at_each_rung(study, client):
    of_trial = trial_runs(runs(client, "trial"))

    def epochs_of(number):  # with the seconds that each took, which no second training repeats
        run_id = of_trial[number].info.run_id
        metrics = [client.get_metric_history(run_id, name) for name in ("loss", "epoch_seconds")]
        return {(metric.key, metric.step, metric.value) for name in metrics for metric in name}

    at_rung = {0: [], 1: [], 2: []}
    for trial in study.trials:
        rung, before = trial.user_attrs.get(RUNG, 0), continued(trial)
        at_rung[rung].append(trial.number)
        assert list(trial.intermediate_values) == [1, 2, 3][: rung + 1]
        if rung < 2:
            assert trial.state == TrialState.PRUNED
            assert trial.user_attrs["reason"] == f"stopped at the rung of epoch {rung + 1}"
        else:
            assert trial.state == TrialState.COMPLETE
        if before is not None:
            assert trial.params == study.trials[before].params
            assert of_trial[trial.number].data.tags["optuna.continues"] == str(before)
            assert epochs_of(before) < epochs_of(trial.number)
    # More than half may be continued: the better one of two may not be among those of four.
    assert len(at_rung[0]) == 4 and len(at_rung[1]) >= 2 and len(at_rung[2]) >= 1
    assert len(superseded(study.trials)) == len(at_rung[1]) + len(at_rung[2])  # each once


def test_a_trials_run_has_params_metrics_of_every_epoch_curves_and_the_data_set(study, client):
    trial = next(trial for trial in study.trials if trial.state == TrialState.COMPLETE)
    run = trial_runs(runs(client, "trial"))[trial.number]
    assert run.data.tags["optuna.state"] == "COMPLETE"
    assert run.data.params["filters_0"] == str(trial.params["filters_0"])
    assert run.data.params["parameters"] == str(int(run.data.metrics["parameters"]))
    assert int(run.data.params["multiply_accumulates"]) > 100_000
    assert run.data.params["epochs"] == "3"
    for metric in ("loss", "accuracy", "val_loss", "learning_rate", "epoch_seconds"):
        steps = [m.step for m in client.get_metric_history(run.info.run_id, metric)]
        assert steps == [1, 2, 3]
    assert "curves.png" in {f.path for f in client.list_artifacts(run.info.run_id)}
    contexts = {t.value for d in run.inputs.dataset_inputs for t in d.tags}
    assert contexts == {"train", "validation"}


def test_the_studys_run_has_the_best_model_its_params_and_the_pictures(client):
    (parent,) = runs(client, "study")
    assert parent.info.status == "FINISHED"
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {
        "digit_recog_mnist_cnn.keras",
        "best_params.json",
        "optimisation_history.png",
        "learning_curves.png",
    } <= files
    assert "| trial |" in parent.data.tags["mlflow.note.content"]
    assert 0.5 < parent.data.metrics["best_val_accuracy"] <= 1


def test_the_saved_model_loads_in_plain_keras_in_float32_and_scores_what_was_recorded(
    searched, client
):
    (parent,) = runs(client, "study")
    path = client.download_artifacts(parent.info.run_id, "digit_recog_mnist_cnn.keras")
    model = keras.models.load_model(path)
    assert model.dtype_policy.name == "float32"
    assert {weight.dtype for weight in model.weights} == {"float32"}
    (confirmed,) = runs(client, "confirmation")
    _, validation = split(mnist().first(1200).train(), 1 / 6, 0)
    given = np.asarray(model.predict(validation.x, verbose=0)).argmax(axis=1)
    assert np.mean(given == validation.y) == pytest.approx(
        confirmed.data.metrics["best_val_accuracy"], abs=1e-6
    )


def test_the_logged_model_has_signature_and_requirements_and_predicts(client, searched):
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{searched[0]}/mlruns/mlflow.db")
    (parent,) = runs(client, "study")
    (logged,) = client.search_logged_models(
        [parent.info.experiment_id], f"source_run_id = '{parent.info.run_id}'"
    )
    model = mlflow.pyfunc.load_model(f"models:/{logged.model_id}")
    assert model.metadata.signature.inputs.inputs[0].shape == (-1, 28, 28, 1)
    given = model.predict(np.zeros((2, 28, 28, 1), np.float32))
    assert np.asarray(given).shape == (2, 10)
    files = mlflow.artifacts.download_artifacts(f"models:/{logged.model_id}")
    requirements = (Path(files) / "requirements.txt").read_text()
    assert "keras==" in requirements


def test_the_studys_run_names_its_model_its_data_and_its_source(client):
    (parent,) = runs(client, "study")
    (logged,) = client.search_logged_models(
        [parent.info.experiment_id], f"source_run_id = '{parent.info.run_id}'"
    )
    assert [output.model_id for output in parent.outputs.model_outputs] == [logged.model_id]
    data = [used.dataset.name for used in parent.inputs.dataset_inputs]
    assert sorted(data) == ["mnist-first-1200 train", "mnist-first-1200 validation"]
    assert parent.data.tags["mlflow.source.name"] == "experiments/screened.py"


def test_the_output_is_plain_lines_that_end_with_what_to_type(searched):
    _, done = searched
    assert done.stderr == ""
    assert "\x1b" not in done.stdout and "GPU" not in done.stdout
    line = "trial 000 · conv 8-16 · dense 64-10: after epoch 1: val_calibrated_loss "
    (first,) = [each for each in done.stdout.splitlines() if line in each]
    assert ", val_accuracy 0." in first
    (best,) = [each for each in done.stdout.splitlines() if each.startswith("best of screened-1")]
    assert " on 1 fresh seed, val_accuracy 0." in best
    assert ", the best so far" in done.stdout
    assert done.stdout.strip().splitlines()[-1].endswith("make promote EXPERIMENT=screened")
    assert "workflowType=machine_learning" in done.stdout


def test_trials_prints_the_ranking(searched):
    root, _ = searched
    done = here("trials", "screened", cwd=root)
    assert done.returncode == 0, done.stderr
    assert "screened-1" in done.stdout
    assert "complete" in done.stdout


def test_promote_makes_the_best_model_the_champion_and_records_the_test_reading(searched, client):
    root, _ = searched
    done = here("promote", "screened", cwd=root)
    assert done.returncode == 0, done.stderr
    version = client.get_model_version_by_alias("digit_recog_mnist_cnn", "champion")
    (parent,) = runs(client, "study")
    assert version.run_id == parent.info.run_id
    assert parent.data.metrics["test_accuracy"] > 0.5
    assert parent.data.tags["test.openings"] == "1"


def test_a_space_that_fails_in_every_trial_ends_with_the_reasons_and_exit_1(project):
    copy_database(project / "mlruns")
    (project / "search_spaces" / "fragile.py").write_text(
        "import keras\n\n\n"
        "def beauty(y, p):\n"
        "    return keras.ops.sum(p) * float('nan')\n\n\n"
        "def fragile(hp):\n"
        "    if hp.Int('crash', 0, 99):\n"
        "        raise ValueError('cannot build this one')\n"
        "    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten()])\n"
        "    model.add(keras.layers.Dense(10, activation='softmax'))\n"
        "    loss = beauty if hp.Boolean('odd_loss') else 'sparse_categorical_crossentropy'\n"
        "    model.compile('sgd', loss, metrics=['accuracy', beauty])\n"
        "    return model\n"
    )
    (project / "experiments" / "fragile.py").write_text(
        "from dataclasses import replace\n"
        "from experiments.smoke import experiment as smoke\n"
        "from mnist_cnn.experiment import Maximize\n"
        "from search_spaces.fragile import fragile\n\n"
        "both = (Maximize('val_accuracy'), Maximize('val_beauty'))\n"
        "bad = [{'crash': 0, 'odd_loss': odd} for odd in (False, True)]\n"
        "experiment = replace(smoke, space=fragile, objectives=both, baseline=bad, trials=3,\n"
        "                     timeout_seconds=3600)\n"
    )
    # A GPU that Keras's backend does not see, as where it lacks the libraries that it takes.
    done = here("search", "fragile", "--workers", "1", cwd=project, CUDA_VISIBLE_DEVICES="99")
    assert "Keras cannot use the 1 GPU(s) here" in done.stdout
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "no trial completed, 3 failed; trial 0: val_beauty is not a finite number" in done.stderr
    study = optuna.load_study(
        study_name="fragile-1", storage=f"sqlite:///{project}/mlruns/optuna.db"
    )
    reasons = [trial.user_attrs["reason"] for trial in study.trials]
    words = ("val_beauty is not a finite number", "loss became", "cannot build this one")
    assert all(word in reason for word, reason in zip(words, reasons, strict=True)), reasons
    client = MlflowClient(f"sqlite:///{project}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("fragile")
    for run in client.search_runs([experiment.experiment_id]):
        assert run.info.status == "FAILED"
        if run.data.tags["kind"] == "trial":
            assert run.data.tags["reason"] in reasons


def test_a_trial_is_replayed_to_the_bit_with_the_space_as_it_was(searched, client):
    root, _ = searched
    run = next(r for r in runs(client, "trial") if r.info.status == "FINISHED")  # on both rungs
    with edited(root / "search_spaces" / "cnn.py", lambda text: text + "raise SystemError\n"):
        done = here("replay", run.info.run_id, cwd=root)
    assert done.returncode == 0, done.stderr
    assert "search_spaces.cnn has changed since; replaying with its old text" in done.stdout
    assert "identical: 3 epochs" in done.stdout
    assert "changed:" not in done.stdout


def test_a_replay_names_what_changed_since_and_what_differs_for_it(searched, client):
    root, _ = searched
    (run,) = runs(client, "confirmation")
    larger = ("batch_size=20", "batch_size=25")
    with edited(root / "experiments" / "screened.py", lambda text: text.replace(*larger)):
        done = here("replay", run.info.run_id, cwd=root)
    assert done.returncode == 1
    assert "changed: experiment.batch_size was 20, is 25" in done.stdout
    assert "differs: loss of epoch 1" in done.stdout
    assert "differs: weights" in done.stdout
    assert "gave a different result, see above" in done.stderr


@contextmanager
def edited(path, change):
    """Another text in a file, for a while."""
    text = path.read_text()
    assert change(text) != text
    path.write_text(change(text))
    try:
        yield
    finally:
        path.write_text(text)


def test_a_run_that_did_not_train_cannot_be_replayed(searched, client):
    root, _ = searched
    (parent,) = runs(client, "study")
    done = here("replay", parent.info.run_id, cwd=root)
    assert done.returncode == 1
    assert "not a trial" in done.stderr and len(done.stderr.splitlines()) == 1


def test_studies_are_listed_and_the_champions_is_only_deleted_by_force(searched, client):
    """The last test of this file: it deletes what the others look at."""
    root, _ = searched
    listed = here("studies", cwd=root).stdout.splitlines()
    assert listed[0].split() == ["study", "state", "trials", "best", "on", "disk"]
    assert listed[1].split()[:5] == ["screened-1", "finished", "4", "of", "4"]
    assert "val_calibrated_loss" in listed[1] and listed[1].endswith("MB") and len(listed) == 2
    unknown = here("delete", "screened-2", cwd=root)
    assert unknown.returncode == 2 and "valid: screened-1" in unknown.stderr
    refused = here("delete", "screened-1", cwd=root)
    assert refused.returncode == 1
    assert "version 1 of digit_recog_mnist_cnn, the champion, comes from" in refused.stderr
    folder = root / "mlruns/checkpoints/screened-1"
    there = [run for kind in ("study", "trial", "confirmation") for run in runs(client, kind)]
    assert folder.is_dir() and len(there) > 2
    done = here("delete", "screened-1", "--force", cwd=root)
    assert done.stdout == f"deleted screened-1 and its {len(there)} runs in MLflow\n"
    assert not folder.exists() and not runs(client, "trial") and not runs(client, "study")
    assert not any(path.is_dir() for path in (root / "mlruns/data").iterdir())
    kept = client.get_experiment_by_name("screened").tags
    assert not [tag for tag in kept if "screened-1" in tag]
    storage = f"sqlite:///{root}/mlruns/optuna.db"
    assert optuna.get_all_study_names(storage) == []
    assert here("studies", cwd=root).stderr == "mnist-cnn: no study yet; type `make search`\n"
    champion = client.get_model_version_by_alias("digit_recog_mnist_cnn", "champion")
    assert int(champion.version) == 1


@pytest.mark.slow
def test_after_an_edit_the_best_configuration_is_tried_first(tmp_path):
    root = copy_project(tmp_path)
    copy_database(root / "mlruns")
    file = root / "experiments/screened.py"
    (root / "search_spaces/few.py").write_text(DATASET)
    # Another baseline, since the best configuration may be the first one.
    for edited in (EXPERIMENT, EXPERIMENT.replace('"dense": 64', '"dense": 128')):
        file.write_text(edited)
        done = here("search", "screened", "--workers", "1", cwd=root)
        assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    new = lines.index("new study screened-2")
    told = "the best configuration of screened-1 that the space accepts will"
    assert any(line.startswith(told) for line in lines[new:])
    url = f"sqlite:///{root}/mlruns/optuna.db"
    first, second = (optuna.load_study(study_name=f"screened-{n}", storage=url) for n in (1, 2))
    tried = second.trials[1]
    assert tried.user_attrs[EARLIER] == "screened-1"
    assert tried.params in [trial.params for trial in first.trials]
    agrees(root, "screened-2")
