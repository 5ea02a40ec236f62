"""An experiment: refused when it cannot be meant, found by name, told apart by fingerprint."""

import functools
import pickle
import subprocess
import sys
from dataclasses import replace

import keras
import keras_tuner
import numpy as np
import optuna
import pytest
from projects import forget_experiments

from mnist_cnn.datasets import digits, mnist
from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.experiment import AtMost, Confirm, Experiment, Maximize, Minimize, Screen
from mnist_cnn.experiment_id import ExperimentId, experiment_id
from mnist_cnn.objectives import Constraint, Objective
from mnist_cnn.project.fingerprint import describe, fingerprint
from mnist_cnn.project.loading import experiment_names, load_experiment
from mnist_cnn.project.plan import plan

SPACE = '''
def tiny(hp):
    """Never built here."""
    return hp.Int("units", 1, 9)
'''
EXPERIMENT = """
from functools import partial

import optuna

from mnist_cnn.datasets import mnist
from mnist_cnn.experiment import Confirm, Experiment
from search_spaces.tiny import tiny

experiment = Experiment(
    space=tiny,
    dataset=mnist,
    sampler=partial(optuna.samplers.TPESampler, n_startup_trials=6),
    confirm=Confirm(trials=1),
)
"""


def space(hp):
    """Stands for any search space."""


def trained_on(seed, function=None):
    """Stands for any sampler."""


class Space(keras_tuner.HyperModel):
    """Stands for any HyperModel; `setting` for whatever it is made of."""

    def __init__(self, setting):
        super().__init__()
        self.setting = setting


class Callable:
    """An object that can be called, and has no text of its own."""

    def __call__(self, seed):
        raise NotImplementedError


@pytest.fixture
def experiment():
    return Experiment(space=space, dataset=mnist)


# Values that cannot be meant


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trials", 0),
        ("trials", -1),
        ("epochs", 0),
        ("batch_size", 0),
        ("epoch_images", 255),  # less than a batch
        ("patience", 0),
        ("timeout_seconds", 0),
        ("timeout_seconds", -1.5),
        ("timeout_seconds", float("nan")),
        ("trial_timeout_seconds", 0),
        ("validation_fraction", 0),
        ("validation_fraction", 1),
        ("validation_fraction", float("nan")),
        ("objectives", ()),
        ("objectives", "val_accuracy"),  # as KerasTuner takes it
        ("objectives", ("val_accuracy", "val_loss")),
        ("objectives", Maximize("val_accuracy")),
        ("baseline", 64),
        ("baseline", None),
        ("baseline", "units"),
        ("baseline", [("units", 64)]),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(experiment, name, value):
    with pytest.raises(UserError, match=f"Experiment: {name}"):
        replace(experiment, **{name: value})


@pytest.mark.parametrize(
    "given", [{"rungs": ()}, {"rungs": (0, 2)}, {"rungs": (1, 3, 3)}, {"rungs": (2, 1)}]
)
def test_rungs_that_do_not_rise_from_the_first_epoch_are_refused(given):
    with pytest.raises(UserError, match=r"rungs=\(.*\) must be rising epochs .* such as \(1, 4\)"):
        Screen(**given)


@pytest.mark.parametrize("epochs", [0, -1])
def test_confirmations_without_an_epoch_are_refused(epochs):
    with pytest.raises(
        UserError, match=f"Confirm: epochs={epochs} must be a whole number of at least 1, or"
    ):
        Confirm(epochs=epochs)


def test_a_negative_seed_is_refused(experiment):
    with pytest.raises(UserError, match="seed=-1 must be a whole number of at least 0"):
        replace(experiment, seed=-1)


@pytest.mark.parametrize("value", ["2", 2.0, True, None, [2]])
def test_what_is_no_whole_number_is_refused_by_name(experiment, value):
    for name in ("trials", "epochs", "batch_size", "patience", "seed"):
        with pytest.raises(UserError, match=f"Experiment: {name}=.* must be a whole number"):
            replace(experiment, **{name: value})
    for name in ("trials", "seeds", "max_seeds"):
        with pytest.raises(UserError, match=f"Confirm: {name}=.* must be a whole number"):
            Confirm(**{name: value})
    with pytest.raises(UserError, match=r"Screen: one_of=.* must be a whole number"):
        Screen(one_of=value)
    with pytest.raises(UserError, match=r"Screen: rungs=.* must be rising epochs"):
        Screen(rungs=(value,))


@pytest.mark.parametrize("value", ["0.5", True, [0.5]])
def test_what_is_no_number_is_refused_by_name(experiment, value):
    for name in ("timeout_seconds", "trial_timeout_seconds", "validation_fraction"):
        with pytest.raises(UserError, match=f"Experiment: {name}=.* must be a number"):
            replace(experiment, **{name: value})
    for name in ("epoch_images", "screen", "confirm"):
        with pytest.raises(UserError, match=f"Experiment: {name}="):
            replace(experiment, **{name: value})
    with pytest.raises(UserError, match="Confirm: epochs="):
        Confirm(epochs=value)
    with pytest.raises(UserError, match="Screen: rungs="):
        Screen(rungs=value)
    with pytest.raises(UserError, match=r"the bound of 'parameters' is .* a finite number"):
        AtMost("parameters", value)


def test_numbers_of_numpy_become_those_of_python(experiment):
    given = replace(experiment, trials=np.int64(3), screen=Screen(rungs=(np.int64(1),)))
    assert repr(given.trials) == "3" and repr(given.screen.rungs) == "(1,)"
    assert repr(replace(experiment, timeout_seconds=np.int64(9)).timeout_seconds) == "9.0"
    assert replace(experiment, validation_fraction=np.float32(0.5)).validation_fraction == 0.5
    values = {"a": np.int64(64), "b": np.array(0.5), "c": np.bool_(True), "d": np.str_("relu")}
    plain = "{'a': 64, 'b': 0.5, 'c': True, 'd': 'relu'}"
    assert repr(replace(experiment, baseline=values).baseline) == plain
    assert repr(replace(experiment, baseline=[values, {}]).baseline) == f"({plain}, {{}})"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"dataset": digits()},
            "dataset= takes a function that returns a Dataset; write dataset=digits, without paren",
        ),
        ({"dataset": mnist().first(9)}, "write the function's name, without parentheses"),
        ({"dataset": "digits"}, "dataset='digits' must be a function"),
        ({"space": Space}, r"space= takes an object of the class Space; write space=Space\(\)"),
        ({"space": "cnn"}, "space='cnn' must be a function of hp"),
        ({"space": keras.Sequential()}, "write the function's name without parentheses"),
    ],
)
def test_what_is_called_too_early_or_too_late_is_refused_with_what_to_write(
    experiment, given, message
):
    with pytest.raises(UserError, match=message):
        replace(experiment, **given)


def test_a_function_that_returns_no_data_set_is_refused(experiment):
    with pytest.raises(UserError, match=r"dataset=partial returned NoneType, not a Dataset"):
        _ = replace(experiment, dataset=functools.partial(space, None)).opened_dataset


def test_a_screen_that_continues_every_trial_is_refused():
    with pytest.raises(UserError, match="one_of=1 must be a whole number of at least 2"):
        Screen(one_of=1)


@pytest.mark.parametrize(
    "given",
    [{"epochs": 3}, {"objectives": (Maximize("val_accuracy"), Minimize("parameters"))}],
)
def test_a_screen_that_has_nothing_to_compare_is_refused(experiment, given):
    with pytest.raises(UserError, match=r"screen=.* more than 3 epochs; .* turns it off"):
        replace(experiment, screen=Screen(rungs=(1, 3)), **given)


def test_a_misspelt_field_is_refused(experiment):
    with pytest.raises(TypeError, match="epoch"):
        Experiment(space=space, dataset=mnist, epoch=3)


def test_an_objective_knows_what_is_better():
    nan = float("nan")
    assert Maximize("m").better(2, 1) and Minimize("m").better(1, 2)
    for objective in (Maximize("m"), Minimize("m")):
        assert not objective.better(1, 1)
        assert not objective.better(nan, 1) and not objective.better(nan, objective.worst)
        assert objective.better(1, objective.worst)


# Found by name


def test_the_names_are_the_files(project):
    (project / "experiments" / "__init__.py").touch()
    (project / "experiments" / "notes.txt").touch()
    (project / "experiments" / "another.py").touch()
    files = {path.stem for path in (project / "experiments").glob("*.py")} - {"__init__"}
    assert experiment_names() == sorted(files) and {"another", "mnist"} < files
    assert experiment_names(project) == experiment_names()


def test_an_experiment_is_loaded_from_the_current_folder(project):
    file = project / "experiments" / "smoke.py"
    file.write_text(file.read_text().replace("trials=3", "trials=7"))
    assert load_experiment(ExperimentId("smoke")).trials == 7


def test_an_unknown_experiment_is_refused_with_the_valid_names(project):
    with pytest.raises(UsageError, match=r"'mnits' \(did you mean 'mnist'\?\)") as refusal:
        load_experiment(ExperimentId("mnits"))
    assert str(refusal.value).endswith("; valid: " + ", ".join(experiment_names()))


def test_a_folder_without_experiments_is_refused_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UsageError, match=r"no experiments/ in .*; type the command in the project's root"
    ):
        load_experiment(ExperimentId("mnist"))


BAD_FILES = {
    "raises": ("1 / 0", r"experiments/bad\.py: ZeroDivisionError: division by zero"),
    "raises at length": (
        "raise ValueError('first line\\nsecond line')",
        r"experiments/bad\.py: ValueError: first line",
    ),
    "is no Python": ("experiment = (", r"experiments/bad\.py: SyntaxError: '\(' was never closed"),
    "imports what is not there": (
        "from search_spaces.nowhere import nothing",
        r"experiments/bad\.py: ModuleNotFoundError: .*search_spaces\.nowhere",
    ),
    "misspells a field": (
        "from experiments.smoke import experiment\n"
        "from dataclasses import replace\n"
        "experiment = replace(experiment, epoch=1)",
        r"experiments/bad\.py: TypeError: .*'epoch'",
    ),
    "has no experiment": ("", r"experiments/bad\.py must define `experiment = Experiment"),
    "has another experiment": (
        "experiment = {'trials': 3}",
        r"experiments/bad\.py must define `experiment = Experiment",
    ),
    "has a value out of range": (
        "from experiments.smoke import experiment\n"
        "from dataclasses import replace\n"
        "experiment = replace(experiment, epochs=0)",
        r"Experiment: epochs=0 must be a whole number of at least 1",
    ),
}


@pytest.mark.parametrize(("text", "message"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_file_that_holds_no_experiment_is_refused_in_one_line(project, text, message):
    (project / "experiments" / "bad.py").write_text(text)
    with pytest.raises(UserError, match=message) as refusal:
        load_experiment(ExperimentId("bad"))
    assert "\n" not in str(refusal.value)


# The fingerprint


def partial_tpe(**settings):
    return functools.partial(optuna.samplers.TPESampler, **settings)


def patient(n_startup_trials):
    inner = optuna.pruners.MedianPruner(n_startup_trials)
    return functools.partial(optuna.pruners.PatientPruner, inner, patience=1)


CHANGES = {
    "objectives": [(Minimize("val_loss"),), (Maximize("val_accuracy"), Minimize("parameters"))],
    "epochs": [6],
    "epoch_images": [1000, 2000],
    "batch_size": [128],
    "patience": [4],
    "validation_fraction": [0.1],
    "seed": [1],
    "sampler": [
        optuna.samplers.RandomSampler,
        partial_tpe(group=True),
        partial_tpe(group=True, n_startup_trials=3),
    ],
    "pruner": [optuna.pruners.NopPruner, patient(2), patient(3)],
    "screen": [Screen(), Screen(rungs=(2,)), Screen(rungs=(1, 2)), Screen(one_of=4)],
    "baseline": [{"units": 3}, {"units": 4}],
    "precision": ["float32"],
    "jit_compile": [True],
    "deterministic": [True],
    "dataset": [lambda: mnist().first(300), lambda: mnist().first(301)],
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_trials_have_in_common_changes_the_fingerprint(experiment, name):
    variants = [experiment, *(replace(experiment, **{name: value}) for value in CHANGES[name])]
    assert len({fingerprint(variant) for variant in variants}) == len(variants)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trials", 99),
        ("timeout_seconds", 1.0),
        ("trial_timeout_seconds", 1.0),
        ("confirm", Confirm(trials=0)),
        ("warm_start", False),
    ],
)
def test_another_budget_keeps_the_fingerprint(experiment, name, value):
    assert fingerprint(replace(experiment, **{name: value})) == fingerprint(experiment)


def test_the_data_change_the_fingerprint_and_not_only_the_functions_name(experiment):
    def of(digest):
        data = replace(mnist(), digest=digest)

        def dataset():
            return data

        return fingerprint(replace(experiment, dataset=dataset))

    assert of("a") == of("a") != of("b")


def test_another_version_trains_otherwise(experiment, monkeypatch):
    before = fingerprint(experiment)
    monkeypatch.setattr("mnist_cnn.project.fingerprint.version", lambda package: "9.9")
    assert fingerprint(experiment) != before


def test_what_a_hyper_model_keeps_while_it_builds_does_not_change_the_fingerprint(experiment):
    built = replace(experiment, space=Space("a layer"))
    before, texts = fingerprint(built), describe(built)
    built.space.setting = "a layer, built"
    built.space.units = 32
    assert (fingerprint(built), describe(built)) == (before, texts)
    assert fingerprint(replace(built)) != before  # another experiment, made with these settings


@pytest.fixture
def tiny(project):
    """The project with a small experiment, and a space in a file of its own."""
    (project / "experiments" / "tiny.py").write_text(EXPERIMENT)
    (project / "search_spaces" / "tiny.py").write_text(SPACE)
    return project


def in_a_new_process(project):
    """The fingerprint of `tiny`, as a new process finds it."""
    ask = (
        "from mnist_cnn.experiment_id import ExperimentId\n"
        "from mnist_cnn.project.fingerprint import fingerprint\n"
        "from mnist_cnn.project.loading import load_experiment\n"
        "print(fingerprint(load_experiment(ExperimentId('tiny'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", ask], cwd=project, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_new_process_finds_the_same_fingerprint(tiny):
    assert in_a_new_process(tiny) == fingerprint(load_experiment(ExperimentId("tiny")))


# Python gives the elements of a set another order in each process.
SETS = """
from dataclasses import dataclass

KINDS = {"conv", "dense", "pool", "norm", "drop", "flat", "add", "relu"}


@dataclass(frozen=True)
class Settings:
    kinds: set


def with_sets(*settings):
    return partial(tiny, *settings)
"""


@pytest.mark.parametrize(
    "given", ["KINDS", "[{'a': frozenset(KINDS)}]", "{frozenset(KINDS): 1}", "Settings(KINDS)"]
)
def test_a_new_process_finds_the_same_fingerprint_of_a_space_with_a_set(tiny, given):
    text = EXPERIMENT.replace("space=tiny", f"space=with_sets({given})")
    (tiny / "experiments" / "tiny.py").write_text(
        text.replace("experiment =", f"{SETS}\nexperiment =")
    )
    before = fingerprint(load_experiment(ExperimentId("tiny")))
    assert in_a_new_process(tiny) == before
    rewrite(tiny / "experiments" / "tiny.py", '"relu"', '"gelu"')
    assert fingerprint(load_experiment(ExperimentId("tiny"))) != before


def test_what_a_build_keeps_does_not_make_workers_differ(tiny):
    (tiny / "search_spaces" / "tiny.py").write_text(
        "import keras\nimport keras_tuner\n\n"
        "class Tiny(keras_tuner.HyperModel):\n"
        "    def __init__(self, first):\n        super().__init__()\n        self.first = first\n\n"
        "    def build(self, hp):\n"
        "        self.units = hp.Int('units', 1, 9)\n"
        "        self.first.build((None, 28, 28, 1))\n\n"
        "tiny = Tiny(keras.Sequential([keras.layers.Rescaling(2)], name='first'))\n"
    )
    experiment = load_experiment(ExperimentId("tiny"))
    experiment.space.build(keras_tuner.HyperParameters())
    in_this_worker = plan(ExperimentId("tiny"), load_experiment(ExperimentId("tiny"))).fingerprint
    forget_experiments()
    assert fingerprint(load_experiment(ExperimentId("tiny"))) == in_this_worker


def test_an_edit_of_the_spaces_file_changes_the_fingerprint(tiny):
    before = fingerprint(load_experiment(ExperimentId("tiny")))
    rewrite(tiny / "search_spaces" / "tiny.py", '"units", 1, 9', '"units", 1, 8')
    assert fingerprint(load_experiment(ExperimentId("tiny"))) != before


def test_an_edit_of_a_hyper_models_file_changes_the_fingerprint(tiny):
    (tiny / "search_spaces" / "tiny.py").write_text(
        "import keras_tuner\n\nclass Tiny(keras_tuner.HyperModel):\n    size = 9\n\ntiny = Tiny()\n"
    )
    before = fingerprint(load_experiment(ExperimentId("tiny")))
    rewrite(tiny / "search_spaces" / "tiny.py", "size = 9", "size = 8")
    assert fingerprint(load_experiment(ExperimentId("tiny"))) != before


def test_an_edit_of_the_budget_in_the_experiments_file_keeps_the_fingerprint(tiny):
    before = fingerprint(load_experiment(ExperimentId("tiny")))
    rewrite(tiny / "experiments" / "tiny.py", "confirm=Confirm(trials=1)", "trials=99")
    assert load_experiment(ExperimentId("tiny")).trials == 99
    assert fingerprint(load_experiment(ExperimentId("tiny"))) == before


def test_an_edit_of_the_samplers_arguments_changes_the_fingerprint(tiny):
    before = fingerprint(load_experiment(ExperimentId("tiny")))
    rewrite(tiny / "experiments" / "tiny.py", "n_startup_trials=6", "n_startup_trials=7")
    assert fingerprint(load_experiment(ExperimentId("tiny"))) != before


@pytest.mark.parametrize(
    "sampler", ["lambda seed: RandomSampler(seed)", "my_sampler"], ids=["lambda", "function"]
)
def test_an_edit_of_the_experiments_own_sampler_changes_the_fingerprint(tiny, sampler):
    (tiny / "experiments" / "tiny.py").write_text(
        "from optuna.samplers import RandomSampler, TPESampler\n\n"
        "def my_sampler(seed):\n    return RandomSampler(seed)\n"
        + EXPERIMENT.replace("partial(optuna.samplers.TPESampler, n_startup_trials=6)", sampler)
    )
    before = fingerprint(load_experiment(ExperimentId("tiny")))
    rewrite(tiny / "experiments" / "tiny.py", "RandomSampler(seed)", "TPESampler(seed=seed)")
    assert fingerprint(load_experiment(ExperimentId("tiny"))) != before


# As text, and on its way to the search process


DESCRIBED = {
    "function": ("space", space, "test_experiment.space"),
    "lambda": ("space", lambda hp: None, "<lambda>"),
    "partial": ("space", functools.partial(space, width=3), "width=3"),
    "hyper model": ("space", Space("a setting"), "a setting"),
    "hyper model of a function": ("space", Space(trained_on), "trained_on"),
    "hyper model of functions": ("space", Space([trained_on]), "trained_on"),
    "hyper model of functions by name": ("space", Space({"a": trained_on}), "trained_on"),
    "hyper model of an object": ("space", Space(Callable()), "Callable"),
    "class": ("sampler", optuna.samplers.RandomSampler, "RandomSampler"),
    "partial of a class": ("sampler", partial_tpe(seed=3), "seed=3"),
    "partial with a function": (
        "sampler",
        functools.partial(trained_on, function=trained_on),
        "function=",
    ),
    "object": ("sampler", Callable(), "Callable"),
    "partial with an object": ("pruner", patient(2), "MedianPruner"),
}


@pytest.mark.parametrize(("name", "value", "words"), DESCRIBED.values(), ids=DESCRIBED.keys())
def test_a_field_is_described_by_name_and_never_by_its_place_in_memory(
    experiment, name, value, words
):
    texts = describe(replace(experiment, **{name: value}))
    assert words in texts[name]
    assert all(" at 0x" not in text for text in texts.values())


def test_every_field_is_described(experiment):
    texts = describe(replace(experiment, baseline={"units": 3}, seed=17))
    assert set(texts) == set(Experiment.__dataclass_fields__)
    assert (texts["seed"], texts["baseline"]) == ("17", "{'units': 3}")


def test_a_plan_goes_from_a_worker_to_the_search(experiment):
    unpicklable = replace(experiment, space=Space(lambda: None), sampler=lambda seed: None)
    made = plan(ExperimentId("tiny"), replace(unpicklable, baseline={"units": 3}))
    arrived = pickle.loads(pickle.dumps(made))
    assert arrived == made
    assert (arrived.name, arrived.baselines, arrived.trials) == ("tiny", ({"units": 3},), 50)
    assert arrived.fingerprint == fingerprint(replace(unpicklable, baseline={"units": 3}))


def test_the_first_trial_has_the_defaults_unless_there_is_to_be_no_baseline(experiment):
    assert plan(ExperimentId("tiny"), experiment).baselines == ({},)
    assert plan(ExperimentId("tiny"), replace(experiment, baseline=())).baselines == ()


def rewrite(path, old, new):
    """Edit a file of the project, as between two searches."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    forget_experiments()


# Experiments that are made for data


def test_an_experiment_for_data_is_made_for_what_is_at_the_path(project, images):
    save_images(project / "own.npz", images, 400)
    made = load_experiment(experiment_id("images", "own.npz"))
    assert made.dataset().name == "own" and made.opened_dataset.model_name.startswith("own-")
    assert load_experiment(experiment_id("images", "own.npz")) is made  # until the file changes
    before = fingerprint(made)
    save_images(project / "own.npz", images, 300)
    again = load_experiment(experiment_id("images", "own.npz"))
    assert again.opened_dataset.train_images < made.opened_dataset.train_images
    assert fingerprint(again) != before


@pytest.mark.parametrize(
    ("file", "data", "words"),
    [
        ("images", None, r"'images' needs data; add --data PATH"),
        ("mnist", "own.npz", "'mnist' has its own data set; leave out --data"),
        ("images", "gone", "there is no file or folder"),
        ("nope", "own.npz", "there is no experiment 'nope'; valid: images"),
    ],
)
def test_data_where_there_should_be_none_and_the_reverse_are_refused(
    project, images, file, data, words
):
    save_images(project / "own.npz", images, 100)
    with pytest.raises(UsageError, match=words):
        load_experiment(experiment_id(file, data))


def save_images(path, images, count):
    np.savez(path, x=np.rint(255 * images.x[:count]).astype(np.uint8), y=images.y[:count])


def test_an_objective_and_a_constraint_are_checked_where_they_are_written():
    assert Maximize("val_neg_log_loss").direction == "maximize"
    for wrong in (
        lambda: Objective("val_auc", "max"),
        lambda: Objective(3, "maximize"),
        lambda: Constraint("parameters", "<", 3),
        lambda: Constraint(None, "at most", 3),
    ):
        with pytest.raises(UserError, match=r"val_auc|parameters|metric"):
            wrong()
