"""Which of the project's code a training depends on, and how it is brought back."""

import json
import subprocess
import sys

import pytest
from projects import forget_experiments

from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.project.fingerprint import fingerprint
from mnist_cnn.project.loading import load_experiment
from mnist_cnn.project.sources import sources_of, unwatched

PIECES = """
from keras import layers

from search_spaces.deeper import UNITS


def head():
    return layers.Dense(10, activation="softmax")


def body(units):
    return layers.Dense(UNITS * units, activation="tanh")
"""

DEEPER = '"""A number."""\n\nUNITS = 4\n'

MINE = """
import keras
from keras import layers

from search_spaces.pieces import body, head


def mine(hp):
    \"\"\"Parts from another file.\"\"\"
    model = keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), body(8), head()])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
"""

EXPERIMENT = """
\"\"\"A space of three files, and a data set of its own.\"\"\"
from dataclasses import replace
from functools import partial

from experiments.smoke import experiment as smoke
from mnist_cnn.datasets import mnist
from search_spaces.mine import mine

HOW_MANY = 1200
NOTHING = 1


def shift(images):
    return images


def own():
    return shift(mnist().first(HOW_MANY))


def unused():
    return 1


experiment = replace(smoke, space=mine, dataset=own, timeout_seconds=60)
"""


@pytest.fixture
def mine(project):
    """A project with a search space of three files."""
    (project / "search_spaces/pieces.py").write_text(PIECES)
    (project / "search_spaces/deeper.py").write_text(DEEPER)
    (project / "search_spaces/mine.py").write_text(MINE)
    (project / "experiments/own.py").write_text(EXPERIMENT)
    return project


def edit(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def print_of(name="own"):
    """The fingerprint, as a new process finds it."""
    forget_experiments()
    return fingerprint(load_experiment(ExperimentId(name)))


def test_all_modules_that_a_space_imports_are_found(mine):
    experiment = load_experiment(ExperimentId("own"))
    found = sources_of(experiment.space, experiment.dataset)
    spaces = ["search_spaces.deeper", "search_spaces.mine", "search_spaces.pieces"]
    assert list(found) == ["experiments.own", *spaces]
    assert found["search_spaces.pieces"].text == PIECES


COUNTS = {
    "a module that the space imports": ("search_spaces/pieces.py", '"tanh"', '"relu"'),
    "a module further down": ("search_spaces/deeper.py", "4", "5"),
    "the space": ("search_spaces/mine.py", "body(8)", "body(9)"),
    "the data set's function": ("experiments/own.py", "shift(mnist()", "(mnist()"),
    "a function that it calls": ("experiments/own.py", "return images", "return images.rgb()"),
    "a constant that it reads": ("experiments/own.py", "HOW_MANY = 1200", "HOW_MANY = 600"),
}


@pytest.mark.parametrize(("file", "old", "new"), COUNTS.values(), ids=COUNTS.keys())
def test_an_edit_of_what_trainings_depend_on_changes_the_fingerprint(mine, file, old, new):
    before = print_of()
    edit(mine / file, old, new)
    assert print_of() != before


COUNTS_NOT = {
    "a timeout": ("experiments/own.py", "timeout_seconds=60", "timeout_seconds=90"),
    "the experiment's docstring": ("experiments/own.py", "A space of three", "A space of many"),
    "a docstring": ("search_spaces/mine.py", "Parts from", "Layers from"),
    "a new docstring": ("search_spaces/pieces.py", "head():\n", "head():\n    'The last layer.'\n"),
    "a module's docstring": ("search_spaces/deeper.py", "A number", "The number"),
    "a module's new docstring": (
        "search_spaces/mine.py",
        "\nimport keras\n",
        "'Mine'\nimport keras\n",
    ),
    "a comment": ("search_spaces/pieces.py", "def head", "# the last layer\ndef head"),
    "the layout": ("search_spaces/pieces.py", "UNITS * units", "(UNITS *  units)"),
    "a function that nothing calls": ("experiments/own.py", "return 1", "return 2"),
    "a constant that nothing reads": ("experiments/own.py", "NOTHING = 1", "NOTHING = 2"),
    "another experiment": ("experiments/smoke.py", "trials=3", "trials=4"),
}


@pytest.mark.parametrize(("file", "old", "new"), COUNTS_NOT.values(), ids=COUNTS_NOT.keys())
def test_any_other_edit_goes_on_with_the_study(mine, file, old, new):
    before = print_of()
    edit(mine / file, old, new)
    assert print_of() == before


@pytest.fixture
def lib(tmp_path_factory, monkeypatch):
    """A folder beside the project, as PYTHONPATH and `pip install -e` name one."""
    folder = tmp_path_factory.mktemp("lib")
    (folder / "myblocks.py").write_text("from mydeeper import WIDTH\n\n\ndef block(hp): ...\n")
    (folder / "mydeeper.py").write_text("WIDTH = 8\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    yield folder
    for name in ("myblocks", "mydeeper"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("place", "old", "new"),
    [
        ("experiments/own.py", "space=mine", "space=block"),
        ("search_spaces/pieces.py", "def head():\n", "def head():\n    block(0)\n"),
    ],
    ids=["the space itself", "a function that the space calls"],
)
def test_a_module_outside_of_the_project_does_not_count_and_is_told(mine, lib, place, old, new):
    experiment = load_experiment(ExperimentId("own"))
    assert unwatched(experiment.space, experiment.dataset, experiment.sampler) == []
    edit(mine / place, old, new)
    text = (mine / place).read_text()
    docstring, first, rest = text.partition("from ")
    (mine / place).write_text(f"{docstring}from myblocks import block\n{first}{rest}")
    forget_experiments()
    experiment = load_experiment(ExperimentId("own"))
    file = lib / "myblocks.py"
    assert unwatched(experiment.space, experiment.dataset, experiment.sampler) == [file]


def test_a_lambda_counts_and_the_fields_beside_it_do_not(mine):
    file = mine / "experiments/own.py"
    edit(file, "dataset=own, timeout_seconds=60", "dataset=lambda: own(), timeout_seconds=60")
    before = print_of()
    edit(file, "timeout_seconds=60", "timeout_seconds=70")
    assert print_of() == before
    edit(file, "lambda: own()", "lambda: own().rgb()")
    assert print_of() != before


def test_what_a_partial_is_given_counts(mine):
    file = mine / "experiments/own.py"
    edit(file, "space=mine", "space=partial(mine, unused)")
    before = print_of()
    edit(file, "return 1", "return 2")
    assert print_of() != before


BRING_BACK = """
import json, sys
from pathlib import Path
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.project.loading import load_experiment
from mnist_cnn.project.sources import Source, bring_back

recorded = json.loads(Path(sys.argv[1]).read_text())
bring_back({name: Source(text) for name, text in recorded.items()}, Path(sys.argv[2]))
experiment = load_experiment(ExperimentId("own"))
from search_spaces import deeper, pieces
print(deeper.UNITS, experiment.timeout_seconds, pieces.head.__module__)
"""


def test_every_recorded_module_is_brought_back_whatever_its_file_says_now(mine, tmp_path_factory):
    experiment = load_experiment(ExperimentId("own"))
    found = sources_of(experiment.space, experiment.dataset)
    place = tmp_path_factory.mktemp("recorded")
    (place / "sources.json").write_text(json.dumps({n: s.text for n, s in found.items()}))
    edit(mine / "search_spaces/deeper.py", "4", "7")
    (mine / "search_spaces/pieces.py").unlink()
    done = subprocess.run(
        [sys.executable, "-c", BRING_BACK, place / "sources.json", place],
        cwd=mine,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "4 60 search_spaces.pieces\n", done.stderr


COUNTS_TOO = {
    "what a closure keeps": ("def make(n):\n    return lambda hp: n\n", "make(64)", "make(128)"),
    "an object's method": (
        "class S:\n    def __init__(self, n): self.n = n\n    def cnn(self, hp): return self.n\n",
        "S(64).cnn",
        "S(128).cnn",
    ),
    "an object that is called": (
        "class S:\n    def __init__(self, n): self.n = n\n    def __call__(self, hp): return 64\n",
        "S(1)",
        "S(2)",
    ),
}


@pytest.mark.parametrize(("code", "old", "new"), COUNTS_TOO.values(), ids=COUNTS_TOO.keys())
def test_any_kind_of_space_is_told_by_what_it_holds(mine, code, old, new):
    file = mine / "experiments/own.py"
    edit(file, "def unused", f"{code}\n\ndef unused")
    edit(file, "space=mine", f"space={old}")
    before = print_of()
    edit(file, f"space={old}", f"space={new}")
    assert print_of() != before


@pytest.mark.parametrize("change", ["WIDTHS += [3]", "WIDTHS[0] = 3", "WIDTHS.append(3)"])
def test_what_changes_a_constant_counts(mine, change):
    file = mine / "experiments/own.py"
    edit(file, "HOW_MANY = 1200", f"HOW_MANY = 1200\nWIDTHS = [64]\n{change}")
    edit(file, "    return images\n", "    return images.first(WIDTHS[0])\n")
    before = print_of()
    edit(file, change, change.replace("3", "4"))
    assert print_of() != before


def test_the_class_of_an_object_that_is_called_counts(mine):
    file = mine / "experiments/own.py"
    edit(file, "def unused", "class S:\n    def __call__(self, hp): return 64\n\n\ndef unused")
    edit(file, "space=mine", "space=S()")
    before = print_of()
    edit(file, "return 64", "return 128")
    assert print_of() != before


def test_all_lambdas_of_a_line_count(mine):
    file = mine / "experiments/own.py"
    edit(
        file, "dataset=own, timeout_seconds=60", "sampler=lambda seed: seed, dataset=lambda: own()"
    )
    before = print_of()
    edit(file, "lambda: own()", "lambda: shift(own())")
    assert print_of() != before


# Code at the start of the experiment's file, and what it binds or changes.
BINDS = {
    "a star import": ("from search_spaces.other import *", "body(8)", "search_spaces/other.py"),
    "star imports of experiments": (
        "from experiments.middle import *",
        "WIDTH",
        "experiments/base.py",
    ),
    "a module of experiments/": (
        "from experiments import base",
        "base.WIDTH",
        "experiments/base.py",
    ),
    "the import that is tried": (
        "try:\n    from search_spaces.other import body\n"
        "except ImportError:\n    from search_spaces.pieces import body",
        "body(8)",
        "search_spaces/other.py",
    ),
    "a function in a branch": (
        "if HOW_MANY:\n    def body(units):\n        return 'tanh'",
        "body(8)",
        "experiments/own.py",
    ),
    "a constant of a loop": (
        "for width in (4, 8):\n    WIDTHS = [width, 'tanh']",
        "WIDTHS",
        "experiments/own.py",
    ),
    "a changed library": (
        "for name in ('a', 'b'):\n    json.KNOWN[name] = 'tanh'",
        "1",
        "experiments/own.py",
    ),
    "a call for its effect": ("setattr(json, 'KNOWN', 'tanh')", "1", "experiments/own.py"),
}


@pytest.mark.parametrize(("code", "use", "edited"), BINDS.values(), ids=BINDS.keys())
def test_code_counts_however_the_experiments_file_comes_by_it(mine, monkeypatch, code, use, edited):
    (mine / "search_spaces/other.py").write_text("def body(units):\n    return 'tanh'\n")
    (mine / "experiments/base.py").write_text("WIDTH = 'tanh'\n")
    (mine / "experiments/middle.py").write_text("from experiments.base import *\n")
    edit(
        mine / "experiments/own.py",
        "\n\ndef shift(images):\n",
        f"\nimport json\n{code}\n\ndef shift(images):\n    {use}\n",
    )
    monkeypatch.setattr(json, "KNOWN", {}, raising=False)
    before = print_of()
    edit(mine / edited, "tanh", "relu")
    assert print_of() != before


def test_what_the_experiments_file_changes_counts_though_the_space_is_from_elsewhere(mine):
    (mine / "experiments/patches.py").write_text(
        "import json\n"
        "from dataclasses import replace\n\n"
        "from experiments.own import experiment as own\n\n"
        "WEIGHTS = None\n"
        "json.WEIGHTS = WEIGHTS\n"
        "experiment = replace(own, timeout_seconds=60)\n"
    )
    before = print_of("patches")
    edit(mine / "experiments/patches.py", "60", "90")
    assert print_of("patches") == before
    edit(mine / "experiments/patches.py", "WEIGHTS = None", "WEIGHTS = 'imagenet'")
    assert print_of("patches") != before


COUNTS_NOT_EITHER = {
    "a field beside a module that the space reads": (
        "import optuna\n\ndef helper():\n    return optuna.TrialPruned\n",
        "helper()",
        ("timeout_seconds=60", "timeout_seconds=60, pruner=optuna.pruners.NopPruner"),
    ),
    "a field beside a variable of the same name": (
        "",
        "[units for units in (1, 2)]",
        ("timeout_seconds=60", "timeout_seconds=60, baseline=[{'a': units} for units in (1, 2)]"),
    ),
    "what only a script runs": (
        "",
        "1",
        ("timeout_seconds=60)", "timeout_seconds=60)\nif __name__ == '__main__':\n    print(60)"),
    ),
    "settings that are put together": (
        "settings = {}\nsettings['timeout_seconds'] = 60\nsettings.update(seed=3)\n",
        "1",
        ("timeout_seconds=60", "**settings"),
    ),
    "a field of an experiment that is shown": (
        "",
        "1",
        ("timeout_seconds=60)", "timeout_seconds=60)\nprint(experiment.epochs)"),
    ),
}


@pytest.mark.parametrize(
    ("code", "use", "fields"), COUNTS_NOT_EITHER.values(), ids=COUNTS_NOT_EITHER.keys()
)
def test_a_time_limit_never_opens_a_study(mine, code, use, fields):
    file = mine / "experiments/own.py"
    edit(file, "\n\ndef shift(images):\n", f"\n{code}\n\ndef shift(images):\n    {use}\n")
    edit(file, *fields)
    before = print_of()
    edit(file, "60", "90")
    assert print_of() == before
