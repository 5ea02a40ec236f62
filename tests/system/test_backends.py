"""Keras on JAX: the same search leaves the same files, and they load in Keras on TensorFlow."""

import importlib.util
import os
import subprocess
import sys

import keras
import optuna
import pytest
from faults import agrees, make_project
from projects import ROOT, here

from mnist_cnn.datasets import mnist, split

pytestmark = pytest.mark.compatibility

EXPERIMENT = """
from dataclasses import replace
from experiments.smoke import experiment as smoke
from mnist_cnn.experiment import Confirm

small = {"blocks": 2, "filters_0": 8, "filters_1": 16, "dense": 64}
experiment = replace(smoke, trials=1, batch_size=50, baseline=small, confirm=Confirm(trials=0))
"""


FINISHED = """
from pathlib import Path

import small
from small import Small, killed_after

made = Small(Path.cwd())
made.write("space=dense, epochs=2")
with killed_after(2):
    made.run(units=8)
trial = made.go_on(0)
print(trial.state, trial.reason, trial.steps, trial.values == [trial.scores["val_accuracy"]])
"""

needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None,
    reason="no JAX: `.venv/bin/uv pip install --python .venv --no-deps -r requirements-jax.lock`",
)


@needs_jax
def test_a_trial_on_jax_that_is_killed_after_its_last_epoch_is_scored_all_the_same(project):
    paths = (str(ROOT), str(ROOT / "tests/support"))
    done = subprocess.run(
        [sys.executable, "-c", FINISHED],
        cwd=project,
        env=os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "COMPLETE  [1, 2] True\n", done.stderr


@needs_jax
def test_a_search_on_jax_gives_a_model_for_any_backend(tmp_path):
    root = make_project(tmp_path)
    (root / "experiments/jaxed.py").write_text(EXPERIMENT)
    # A GPU that JAX does not see, as where it lacks the libraries that it takes.
    on_jax = {"KERAS_BACKEND": "jax", "CUDA_VISIBLE_DEVICES": "99"}
    done = here("search", "jaxed", "--workers", "1", cwd=root, **on_jax)
    assert done.returncode == 0, done.stderr
    assert "Keras cannot use the 1 GPU(s) here" in done.stdout
    study, _, _, runs = agrees(root, "jaxed-1")
    (trial,) = study.trials
    assert trial.state == optuna.trial.TrialState.COMPLETE
    (run,) = (r for r in runs if r.data.tags["kind"] == "trial")
    assert run.data.params["backend"] == "jax"
    assert keras.config.backend() == "tensorflow"
    model = keras.models.load_model(root / "mlruns/checkpoints/jaxed-1/digit_recog_mnist_cnn.keras")
    _, validation = split(mnist().first(3000).train(), 1 / 6, 0)
    right = model.predict(validation.x, verbose=0).argmax(axis=1) == validation.y
    assert right.mean() == pytest.approx(trial.value, abs=0.003)  # at most one image of 500
    assert right.mean() > 0.8
