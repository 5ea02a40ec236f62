"""What `import mnist_cnn` offers: names, refusals in one line, and searches of a plain script."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import keras
import pytest
from projects import ROOT, clean_environment
from serving_project import Project
from tiny import make_tiny

import mnist_cnn
from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.workers.machine import WORKER

# A script as people write it, without `if __name__ == "__main__"`.
SCRIPT = """
import json
import multiprocessing
import os
import threading
from pathlib import Path

import mnist_cnn

print("the script begins", flush=True)
try:
    mnist_cnn.search("tiny", workers=1)
except KeyboardInterrupt:
    print("workers left:", multiprocessing.active_children(), flush=True)

file = Path("experiments/tiny.py")
file.write_text(file.read_text().replace("trials=1", "trials=2"))
results = []
thread = threading.Thread(target=lambda: results.append(mnist_cnn.search("tiny", workers=1)))
thread.start()
thread.join()
(result,) = results
os.chdir("/")
print(json.dumps({
    "study": result.study.study_name,
    "run_id": result.run_id,
    "hyperparameters": result.best_hyperparameters(),
    "trials": json.loads(result.trials_dataframe().to_json(orient="records")),
}))
"""


# Names


def test_everything_that_is_offered_is_there():
    offered = {name: getattr(mnist_cnn, name) for name in mnist_cnn.__all__}
    assert {name for names in mnist_cnn._MODULES.values() for name in names} == set(offered)
    assert set(offered) <= set(dir(mnist_cnn))
    assert all(thing.__doc__ for thing in offered.values())
    with pytest.raises(AttributeError, match="no attribute 'serach'"):
        mnist_cnn.serach  # noqa: B018


def test_nothing_is_imported_before_it_is_used():
    ask = "import sys, mnist_cnn; print(*(m for m in sys.modules if m.startswith('mnist_cnn')))"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {
        "mnist_cnn",
        "mnist_cnn.workers",
        "mnist_cnn.workers.signals",
    }


def test_mypy_knows_the_types(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import mnist_cnn\n"
        "reveal_type(mnist_cnn.search)\n"
        "reveal_type(mnist_cnn.search('mnist').best_hyperparameters())\n"
        "mnist_cnn.Experiment(epoch=1)\n"
        "mnist_cnn.search(trials='many')\n"
        "mnist_cnn.serach('mnist')\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    for words in (
        "-> mnist_cnn.api.Result",
        "dict[",
        'Unexpected keyword argument "epoch"',
        'Module has no attribute "serach"',
        'Argument "trials" to "search" has incompatible type "str"',
    ):
        assert words in done.stdout


# Refusals


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"experiment": "nope"}, ["'nope'", "mnist, ", ", smoke"]),
        ({"experiment": object()}, ["an object", "experiments/mine.py", 'search("mine")']),
        ({"trials": 0}, ["trials=0", "at least 1"]),
        ({"trials": 2.5}, ["trials=2.5", "whole number"]),
        ({"workers": "2"}, ["workers='2'", "whole number"]),
        ({"timeout": -1}, ["timeout=-1", "above 0"]),
        ({"timeout": float("nan")}, ["timeout=nan", "above 0"]),
        ({"timeout": float("inf")}, ["timeout=inf", "above 0"]),
        ({"timeout": "60"}, ["timeout='60'", "seconds"]),
        ({"study": 1}, ['such as "mnist-1"', "an int"]),
        ({"storage": Path("optuna.db")}, ["storage", "URL", "Path"]),
        ({"data": 5}, ["data", "path", "an int"]),
        ({"data": "nowhere"}, ["nowhere"]),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused_in_one_line(project, arguments, words):
    with pytest.raises(UsageError) as refusal:
        mnist_cnn.search(**arguments)
    (line,) = str(refusal.value).splitlines()
    for word in words:
        assert word in line
    assert not list((project / "mlruns").iterdir())


def test_an_experiment_itself_is_refused_with_what_to_write():
    experiment = mnist_cnn.Experiment(space=print, dataset=print)
    with pytest.raises(UsageError, match=r"not an Experiment, .* in experiments/mine\.py"):
        mnist_cnn.search(experiment)


def test_outside_of_a_project_the_line_says_where_to_go(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"no experiments/ in .*project's root.*os.chdir"):
        mnist_cnn.search("mnist")


def test_a_search_that_a_worker_starts_is_refused(project, monkeypatch):
    monkeypatch.setenv(WORKER, "1")
    with pytest.raises(UsageError, match="move that call to a script outside of experiments/"):
        mnist_cnn.search("mnist")


def test_without_a_champion_the_line_says_what_to_type(project):
    with pytest.raises(UserError, match=r"no runs yet.*type `make search"):
        mnist_cnn.load_champion()


def test_an_error_shows_no_password(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:hunter2@127.0.0.1:9")
    with pytest.raises(UserError, match=r"http://\*\*\*@127.0.0.1:9") as refusal:
        mnist_cnn.load_champion()
    assert "hunter2" not in str(refusal.value) and refusal.value.__suppress_context__


def test_a_notebook_shows_an_error_as_its_line():
    assert UsageError("there is no x")._render_traceback_() == ["UsageError: there is no x"]


# The champion


def test_the_champion_is_a_model_of_keras(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    layers = [keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]
    keras.Sequential(layers).save(tmp_path / "a.keras")
    Project(tmp_path).promote(tmp_path / "a.keras")
    assert mnist_cnn.load_champion().output_shape == (None, 10)
    assert mnist_cnn.load_champion(name="digit_recog_mnist_cnn").output_shape == (None, 10)
    with pytest.raises(UsageError, match=r"no registered model 'x'; valid: digit_recog_mnist_cnn"):
        mnist_cnn.load_champion(name="x")


# Searches


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """What the script printed, which was interrupted once in its first search."""
    root = make_tiny(tmp_path_factory.mktemp("script"))
    file = root.parent / f"{root.name}.py"
    file.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, file],
        cwd=root,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
        # A shell's background job ignores Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    journal = root / "mlruns/checkpoints/tiny-1/trial-00000/journal.jsonl"
    while process.poll() is None and not journal.exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    printed = process.communicate(timeout=120)[0]
    assert process.returncode == 0, printed
    lines = printed.splitlines()
    return SimpleNamespace(root=root, lines=lines, result=json.loads(lines[-1]))


def test_workers_do_not_run_the_script_again(script):
    assert script.lines.count("the script begins") == 1


def test_an_interrupted_search_leaves_no_worker_and_the_same_call_goes_on(script):
    assert "stopped; everything is saved; continue with the same call" in script.lines
    assert "workers left: []" in script.lines
    assert "continuing tiny-1" in script.lines


def test_the_next_search_reads_the_edited_experiment_in_a_thread_too(script):
    assert [trial["number"] for trial in script.result["trials"]] == [0, 1]


def test_the_result_has_study_run_trials_and_values(script):
    result = script.result
    assert result["study"] == "tiny-1"
    assert len(result["run_id"]) == 32
    first = result["trials"][0]
    assert first["state"] == "COMPLETE" and first["epochs"] == 2
    # The values that the space saw: Optuna stores a probability for `reverse_log`.
    assert first["params.units"] == 16 and first["params.rate"] == pytest.approx(0.001)
    best = max(result["trials"], key=lambda trial: trial["val_accuracy"] or 0)
    for name, value in result["hyperparameters"].items():
        assert best[f"params.{name}"] == pytest.approx(value)
