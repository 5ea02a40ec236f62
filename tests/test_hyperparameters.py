"""Every behaviour of `keras_tuner.HyperParameters` 1.4.8, answered by an Optuna trial."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import optuna
import pytest
from keras_tuner.engine import hyperparameters as kinds
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FixedTrial, Trial, TrialState

from mnist_cnn.hyperparameters import TrialHyperParameters

Space = Callable[[keras_tuner.HyperParameters], Any]

optuna.logging.set_verbosity(optuna.logging.WARNING)


def new_study(**arguments: Any) -> optuna.Study:
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), **arguments)


@pytest.fixture
def study() -> optuna.Study:
    return new_study()


def enqueued(study: optuna.Study, values: dict[str, Any]) -> Trial:
    study.enqueue_trial(values)
    return study.ask()


def same(ours: Any, theirs: Any) -> bool:
    """Equal, of the same type, to the last bit."""
    return repr(ours) == repr(theirs)


# One value of each declaration: how it is declared, and what Optuna shall sample from.
NUMBERS: dict[str, tuple[Space, BaseDistribution]] = {
    "int": (lambda hp: hp.Int("x", 6, 12), IntDistribution(6, 12)),
    "int negative": (lambda hp: hp.Int("x", -3, 4), IntDistribution(-3, 4)),
    "int with step": (lambda hp: hp.Int("x", 6, 12, step=3), IntDistribution(6, 12, step=3)),
    "int with step, max off the grid": (
        lambda hp: hp.Int("x", 6, 13, step=3),
        IntDistribution(6, 12, step=3),
    ),
    "int log": (
        lambda hp: hp.Int("x", 1, 1000, sampling="log"),
        IntDistribution(1, 1000, log=True),
    ),
    "int log with step": (
        lambda hp: hp.Int("x", 2, 32, step=2, sampling="log"),
        IntDistribution(0, 4),
    ),
    "int log with step, max off the grid": (
        lambda hp: hp.Int("x", 2, 31, step=2, sampling="log"),
        IntDistribution(0, 3),
    ),
    "int reverse_log": (
        lambda hp: hp.Int("x", 3, 90, sampling="reverse_log"),
        FloatDistribution(0, 1),
    ),
    "int reverse_log with step": (
        lambda hp: hp.Int("x", 1, 64, step=2, sampling="reverse_log"),
        IntDistribution(0, 6),
    ),
    "int sampling None": (lambda hp: hp.Int("x", 0, 9, sampling=None), IntDistribution(0, 9)),
    "int sampling in capitals": (
        lambda hp: hp.Int("x", 1, 9, sampling="LOG"),
        IntDistribution(1, 9, log=True),
    ),
    "float": (lambda hp: hp.Float("x", 0, 1), FloatDistribution(0, 1)),
    "float log": (
        lambda hp: hp.Float("x", 1e-4, 1e-1, sampling="log"),
        FloatDistribution(1e-4, 1e-1, log=True),
    ),
    "float with step": (
        lambda hp: hp.Float("x", 0.5, 1, step=0.25),
        FloatDistribution(0.5, 1, step=0.25),
    ),
    "float with step, as KerasTuner counts it": (
        lambda hp: hp.Float("x", 0, 1, step=0.1),
        FloatDistribution(0, 0.9, step=0.1),
    ),
    "float with step, ending beyond the decimal": (
        lambda hp: hp.Float("x", 0, 0.35, step=0.1),
        FloatDistribution(0, 0.3, step=0.1),
    ),
    "float with step through 0": (
        lambda hp: hp.Float("x", -0.3, 0.35, step=0.1),
        FloatDistribution(-0.3, 0.3, step=0.1),
    ),
    "float with a step that is no decimal": (
        lambda hp: hp.Float("x", 100.1, 101, step=1 / 3),
        IntDistribution(0, 2),
    ),
    "float log with step": (
        lambda hp: hp.Float("x", 1e-3, 10, step=10, sampling="log"),
        IntDistribution(0, 4),
    ),
    "float reverse_log": (
        lambda hp: hp.Float("x", 1e-4, 1e-1, sampling="reverse_log"),
        FloatDistribution(0, 1),
    ),
    "float reverse_log with step": (
        lambda hp: hp.Float("x", 1e-3, 10, step=10, sampling="reverse_log"),
        IntDistribution(0, 4),
    ),
}
CATEGORIES: dict[str, tuple[Space, BaseDistribution]] = {
    "boolean": (lambda hp: hp.Boolean("x"), CategoricalDistribution((True, False))),
    "choice of int": (lambda hp: hp.Choice("x", [8, 32, 16]), CategoricalDistribution((8, 32, 16))),
    "choice of float": (
        lambda hp: hp.Choice("x", [0.1, 0.01]),
        CategoricalDistribution((0.1, 0.01)),
    ),
    "choice of str": (
        lambda hp: hp.Choice("x", ["relu", "selu"]),
        CategoricalDistribution(("relu", "selu")),
    ),
    "choice of bool": (lambda hp: hp.Choice("x", [True, False]), CategoricalDistribution((1, 0))),
    "choice in order": (
        lambda hp: hp.Choice("x", [1, 2, 4], ordered=True),
        CategoricalDistribution((1, 2, 4)),
    ),
    "choice without order": (
        lambda hp: hp.Choice("x", [1, 2, 4], ordered=False),
        CategoricalDistribution((1, 2, 4)),
    ),
}
SAMPLED = NUMBERS | CATEGORIES
UNSAMPLED: dict[str, tuple[Space, Any]] = {
    "fixed int": (lambda hp: hp.Fixed("x", 3), 3),
    "fixed float": (lambda hp: hp.Fixed("x", 0.5), 0.5),
    "fixed str": (lambda hp: hp.Fixed("x", "adam"), "adam"),
    "fixed bool": (lambda hp: hp.Fixed("x", True), True),
    "int, min equals max": (lambda hp: hp.Int("x", 3, 3), 3),
    "int with step, min equals max": (lambda hp: hp.Int("x", 3, 3, step=2), 3),
    "int log, min equals max": (lambda hp: hp.Int("x", 3, 3, sampling="log"), 3),
    "int reverse_log, min equals max": (lambda hp: hp.Int("x", 3, 3, sampling="reverse_log"), 3),
    "float, min equals max": (lambda hp: hp.Float("x", 1, 1), 1.0),
    "float log, min equals max": (lambda hp: hp.Float("x", 0.1, 0.1, sampling="log"), 0.1),
    "choice of one": (lambda hp: hp.Choice("x", [2]), 2),
}

each_declaration = pytest.mark.parametrize(
    ("declare", "distribution"), SAMPLED.values(), ids=SAMPLED.keys()
)
each_number = pytest.mark.parametrize("declare", [d for d, _ in NUMBERS.values()], ids=NUMBERS)


def declared(declare: Space) -> Any:
    """Return KerasTuner's own record of the hyperparameter x."""
    plain = keras_tuner.HyperParameters()
    declare(plain)
    return plain.space[0]


# Sampling


@each_declaration
def test_a_value_has_the_type_and_the_domain_that_it_has_in_keras_tuner(
    study: optuna.Study, declare: Space, distribution: BaseDistribution
) -> None:
    hp = declared(declare)
    for _ in range(20):
        value = declare(TrialHyperParameters(study.ask()))
        assert type(value) is type(hp.prob_to_value(0.5))
        if isinstance(hp, kinds.Choice | kinds.Boolean):
            assert value in hp.values
        elif hp.step is not None:
            assert value in [type(value)(x) for x in hp.values]
        else:
            assert hp.min_value <= value <= hp.max_value


@each_declaration
def test_optuna_samples_from_the_proper_distribution(
    study: optuna.Study, declare: Space, distribution: BaseDistribution
) -> None:
    trial = study.ask()
    declare(TrialHyperParameters(trial))
    assert trial.distributions == {"x": distribution}
    assert study.trials[0].distributions == {"x": distribution}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("declare", "distribution"),
    [case for name, case in NUMBERS.items() if "step" in name or name == "int"],
    ids=[name for name in NUMBERS if "step" in name or name == "int"],
)
def test_the_grid_is_keras_tuners_own_to_the_last_bit(
    declare: Space, distribution: IntDistribution | FloatDistribution
) -> None:
    hp = declared(declare)
    step = distribution.step or 1
    stored = np.linspace(
        distribution.low,
        distribution.high,
        round((distribution.high - distribution.low) / step) + 1,
    )
    ours = [declare(TrialHyperParameters(FixedTrial({"x": x}))) for x in stored.tolist()]
    theirs = [hp.prob_to_value((k + 0.5) / len(ours)) for k in range(len(ours))]
    assert same(ours, theirs)


@pytest.mark.parametrize("kind", ["Int", "Float"])
@pytest.mark.parametrize("probability", [0.001, 0.25, 0.5, 0.999])
def test_reverse_log_is_a_probability_mapped_by_keras_tuner(kind: str, probability: float) -> None:
    def declare(hp: keras_tuner.HyperParameters) -> Any:
        return getattr(hp, kind)("x", 3, 90, sampling="reverse_log")

    value = declare(TrialHyperParameters(FixedTrial({"x": probability})))
    assert same(value, declared(declare).prob_to_value(probability))


@pytest.mark.parametrize(
    ("kind", "low", "high"), [("Int", 3, 90), ("Float", 3.0, 90.0), ("Float", 1e-4, 1e-1)]
)
def test_reverse_log_ends_at_its_bounds(kind: str, low: float, high: float) -> None:
    def declare(probability: float) -> Any:
        hp = TrialHyperParameters(FixedTrial({"x": probability}))
        return getattr(hp, kind)("x", low, high, sampling="reverse_log")

    assert same([declare(0.0), declare(1.0)], [low, high])
    assert declare(float(np.nextafter(1.0, 0.0))) <= high


def test_choice_of_true_and_false_gives_1_and_0(study: optuna.Study) -> None:
    values = [TrialHyperParameters(study.ask()).Choice("x", [True, False]) for _ in range(20)]
    assert {repr(value) for value in values} == {"1", "0"}


@pytest.mark.parametrize(("declare", "value"), UNSAMPLED.values(), ids=UNSAMPLED.keys())
def test_fixed_or_a_single_value_is_not_sampled(
    study: optuna.Study, declare: Space, value: Any
) -> None:
    trial = study.ask()
    hp = TrialHyperParameters(trial)
    assert same(declare(hp), value)
    assert same(hp.values, {"x": value})
    assert trial.params == {}
    assert same(declare(TrialHyperParameters(FixedTrial({}))), value)
    assert same(declare(TrialHyperParameters(enqueued(study, {"x": value}))), value)
    with pytest.raises(ValueError, match="hyperparameter 'x' cannot be"):
        declare(TrialHyperParameters(enqueued(study, {"x": "another"})))


@pytest.mark.filterwarnings("ignore:The value 99:UserWarning")
@pytest.mark.parametrize("name", ["int", "int log with step", "float reverse_log"])
def test_a_stored_value_outside_the_domain_is_refused(name: str) -> None:
    declare, _ = NUMBERS[name]
    with pytest.raises(ValueError, match=r"hyperparameter 'x' cannot be 99; valid: \d"):
        declare(TrialHyperParameters(FixedTrial({"x": 99})))


# Names, scopes and conditions


def compare(space: Space, study: optuna.Study) -> TrialHyperParameters:
    """Run `space` on a trial, and on KerasTuner with the same values as its tuners set them."""
    ours = TrialHyperParameters(study.ask())
    returned = space(ours)
    theirs = keras_tuner.HyperParameters()
    theirs.values = dict(ours.values)
    assert same(returned, space(theirs))
    assert same(ours.get_config(), theirs.get_config())
    for scopes in ("active_scopes", "inactive_scopes"):
        assert getattr(ours, scopes) == getattr(theirs, scopes)
    return ours


def one_of_two(hp: keras_tuner.HyperParameters) -> list[Any]:
    model = hp.Choice("model", ["mlp", "cnn"])
    with hp.conditional_scope("model", ["mlp"]):
        mlp = hp.Int("units", 1, 9)
    with hp.conditional_scope("model", ["cnn"]):
        cnn = hp.Int("units", 100, 900, step=100)
    return [model, mlp, cnn]


def test_an_inactive_hyperparameter_is_none_and_has_no_value(study: optuna.Study) -> None:
    hp = TrialHyperParameters(enqueued(study, {"model": "cnn"}))
    assert one_of_two(hp) == ["cnn", None, 100]
    assert hp.values == {"model": "cnn", "units": 100}
    for _ in range(5):
        compare(one_of_two, study)


def test_the_same_name_under_two_conditions_is_two_parameters_of_the_study(
    study: optuna.Study,
) -> None:
    for _ in range(10):
        trial = study.ask()
        hp = TrialHyperParameters(trial)
        model, _, _ = one_of_two(hp)
        assert trial.params == {"model": model, f"units[model={model}]": hp["units"]}
    names = {name for trial in study.trials for name in trial.params}
    assert names == {"model", "units[model=mlp]", "units[model=cnn]"}


def test_the_name_in_the_study_does_not_depend_on_the_order_of_declaration(
    study: optuna.Study,
) -> None:
    trial = enqueued(study, {"model": "cnn"})
    hp = TrialHyperParameters(trial)
    hp.Choice("model", ["mlp", "cnn"])
    hp.Int("units", 100, 900, parent_name="model", parent_values=["cnn"])
    hp.Int("units", 1, 9, parent_name="model", parent_values=["mlp"])
    assert set(trial.params) == {"model", "units[model=cnn]"}


def test_parent_name_and_parent_values_are_a_conditional_scope(study: optuna.Study) -> None:
    def space(hp: keras_tuner.HyperParameters) -> list[Any]:
        hp.Choice("kind", [1, 2, 3])
        under = {"parent_name": "kind", "parent_values": [1, 3]}
        return [
            hp.Int("i", 1, 9, **under),
            hp.Float("f", 0, 1, **under),
            hp.Choice("c", ["a", "b"], **under),
            hp.Boolean("b", **under),
            hp.Fixed("x", 7, **under),
        ]

    for _ in range(6):
        hp = compare(space, study)
        assert hp.is_active("i") == (hp["kind"] != 2)
    names = {name for trial in study.trials for name in trial.params}
    assert names == {"kind", "i[kind=1|3]", "f[kind=1|3]", "c[kind=1|3]", "b[kind=1|3]"}


def test_nested_conditions_are_all_in_the_name(study: optuna.Study) -> None:
    def space(hp: keras_tuner.HyperParameters) -> Any:
        hp.Choice("model", ["cnn", "resnet", "mlp"])
        with hp.conditional_scope("model", ["cnn", "resnet"]):
            hp.Int("depth", 1, 3)
            with hp.conditional_scope("depth", 2):
                return hp.Int("units", 1, 9)

    for _ in range(5):
        compare(space, study)
    trial = enqueued(study, {"depth": 2})
    space(TrialHyperParameters(trial))
    assert set(trial.params) == {
        "model",
        "depth[model=cnn|resnet]",
        "units[model=cnn|resnet,depth=2]",
    }


def test_conditions_that_read_alike_have_different_names(study: optuna.Study) -> None:
    trial = enqueued(study, {"kind": "a|b"})
    hp = TrialHyperParameters(trial)
    hp.Choice("kind", ["a|b", "a", "b"])
    hp.Int("units", 1, 9, parent_name="kind", parent_values=["a", "b"])
    hp.Int("units", 1, 9, parent_name="kind", parent_values=["a|b"])
    assert set(trial.params) == {"kind", r"units[kind=a\|b]"}


def test_name_scopes_nest_and_hold_the_parents_name_too(study: optuna.Study) -> None:
    def space(hp: keras_tuner.HyperParameters) -> list[Any]:
        with hp.name_scope("body"):
            hp.Boolean("pool")
            with hp.name_scope("block"):
                hp.Choice("kind", ["a", "b"])
                with hp.conditional_scope("kind", ["a", "b"]):
                    return [hp.Int("units", 1, 9), hp.get("kind"), hp["units"]]

    compare(space, study)
    assert set(study.trials[0].params) == {
        "body/pool",
        "body/block/kind",
        "body/block/units[body/block/kind=a|b]",
    }


def test_a_name_declared_again_answers_with_the_first_value(study: optuna.Study) -> None:
    def space(hp: keras_tuner.HyperParameters) -> list[Any]:
        return [hp.Int("x", 1, 9), hp.Int("x", 100, 200), hp.Float("x", 0, 1), hp.Choice("x", "ab")]

    hp = compare(space, study)
    assert len(hp.space) == 1
    assert study.trials[0].params == {"x": hp["x"]}


def test_what_is_declared_first_narrows_a_hypermodels_own_space(study: optuna.Study) -> None:
    def space(hp: keras_tuner.HyperParameters) -> list[Any]:
        hp.Fixed("depth", 6)
        hp.Choice("version", ["v2", "v1"])
        return [
            hp.Choice("depth", [6, 23, 36]),
            hp.Choice("version", ["v1", "v2", "next"], default="v2"),
        ]

    for _ in range(5):
        compare(space, study)
    assert {trial.params["version"] for trial in study.trials} == {"v1", "v2"}
    assert all(trial.params.keys() == {"version"} for trial in study.trials)


def test_a_name_declared_again_under_an_active_condition_keeps_its_value(
    study: optuna.Study,
) -> None:
    def space(hp: keras_tuner.HyperParameters) -> list[Any]:
        hp.Choice("kind", ["a", "b"])
        first = hp.Int("units", 1, 9)
        return [first, hp.Int("units", 90, 99, parent_name="kind", parent_values=["a", "b"])]

    hp = compare(space, study)
    assert set(study.trials[0].params) == {"kind", "units"}
    assert len(hp.space) == 3


def test_get_brackets_and_in(study: optuna.Study) -> None:
    hp = TrialHyperParameters(enqueued(study, {"model": "cnn"}))
    one_of_two(hp)
    hp.Int("only_mlp", 1, 9, parent_name="model", parent_values=["mlp"])
    assert hp.get("model") == hp["model"] == "cnn"
    assert "model" in hp and "only_mlp" not in hp and "unknown" not in hp
    with pytest.raises(ValueError, match="only_mlp is currently inactive"):
        hp.get("only_mlp")
    with pytest.raises(KeyError, match="unknown does not exist"):
        hp["unknown"]


def test_is_active_of_a_name_and_of_a_hyperparameter(study: optuna.Study) -> None:
    hp = TrialHyperParameters(enqueued(study, {"model": "cnn"}))
    one_of_two(hp)
    assert hp.is_active("units") and not hp.is_active("unknown")
    assert [hp.is_active(declared) for declared in hp.space] == [True, False, True]


def test_values_and_space_are_in_the_order_of_declaration(study: optuna.Study) -> None:
    hp = compare(lambda hp: [hp.Int(name, 1, 9) for name in "cab"], study)
    assert list(hp.values) == [declared.name for declared in hp.space] == ["c", "a", "b"]


def test_a_value_set_before_the_declaration_is_kept(study: optuna.Study) -> None:
    hp = TrialHyperParameters(study.ask())
    hp.values["units"] = 5
    assert hp.Int("units", 1, 9) == 5
    assert study.trials[0].params == {}


def test_parameters_discovered_in_the_middle_of_a_trial(study: optuna.Study) -> None:
    trial = study.ask()
    hp = TrialHyperParameters(trial)
    layers = hp.Int("layers", 1, 3)
    for layer in range(layers):
        hp.Int(f"units_{layer}", 8, 64, step=8)
    trial.report(0.5, step=0)
    hp.Float("momentum", 0, 1)  # as a HyperModel's `fit` declares
    expected = {"layers", "momentum", *(f"units_{layer}" for layer in range(layers))}
    assert set(trial.params) == set(study.trials[0].params) == set(hp.values) == expected


def test_merge_asks_the_trial_even_where_keras_tuner_would_take_the_default(
    study: optuna.Study,
) -> None:
    other = keras_tuner.HyperParameters()
    other.Int("units", 1, 10**6)
    hp = TrialHyperParameters(study.ask())
    hp.merge(other)
    asked = hp["units"]
    hp.merge(other, overwrite=True)
    assert hp["units"] == asked == study.trials[0].params["units"]


# Plain copies


def test_copy_and_from_config_give_a_plain_keras_tuner_hyperparameters(
    study: optuna.Study,
) -> None:
    hp = TrialHyperParameters(study.ask())
    one_of_two(hp)
    for plain in (hp.copy(), TrialHyperParameters.from_config(hp.get_config())):
        assert type(plain) is keras_tuner.HyperParameters
        assert same(plain.get_config(), hp.get_config())
        assert plain.Int("later", 3, 9) == 3
        assert plain["model"] == hp["model"]
    assert "later" not in hp


class Dense(keras_tuner.HyperModel):
    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        units = hp.Int("units", 2, 64, default=8)
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(units)])

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, *_: Any, **__: Any) -> Any:
        return {"batch_size": hp.Choice("batch_size", [32, 64]), "units": model.output_shape[-1]}


def test_a_hypermodel_builds_and_fits_with_the_values_of_the_trial(study: optuna.Study) -> None:
    trial = study.ask()
    hp = TrialHyperParameters(trial)
    hypermodel = Dense()
    assert hypermodel.fit(hp, hypermodel.build(hp)) == trial.params == hp.values


def test_a_hypermodel_that_is_not_tunable_has_its_defaults(study: optuna.Study) -> None:
    hp = TrialHyperParameters(study.ask())
    hp.Boolean("other")
    assert Dense(tunable=False).build(hp).output_shape == (None, 8)
    assert set(hp.values) == set(study.trials[0].params) == {"other"}


def test_a_hypermodel_that_is_not_tunable_takes_values_declared_before(
    study: optuna.Study,
) -> None:
    hp = TrialHyperParameters(study.ask())
    units = hp.Int("units", 2, 64)
    assert Dense(tunable=False).build(hp).output_shape == (None, units)


# Enqueued trials


def everything(hp: keras_tuner.HyperParameters) -> dict[str, Any]:
    hp.Choice("model", ["mlp", "cnn"])
    hp.Int("units", 1, 9, default=4, parent_name="model", parent_values=["mlp"])
    hp.Int("units", 2, 512, step=2, sampling="log", parent_name="model", parent_values=["cnn"])
    hp.Int("epochs", 3, 90, sampling="reverse_log")
    with hp.name_scope("optimizer"):
        hp.Float("rate", 1e-4, 1e-1, sampling="log", default=0.01)
        hp.Float("decay", 1e-3, 10, step=10, sampling="log", default=0.1)
        hp.Float("momentum", 0.5, 0.99, sampling="reverse_log")
    hp.Float("dropout", 0, 0.6, step=0.1, default=0.2)
    hp.Boolean("augment", default=True)
    hp.Choice("normalise", [True, False], default=False)
    hp.Fixed("seed", 3)
    return dict(hp.values)


def test_a_trial_enqueued_with_nothing_has_keras_tuners_defaults(study: optuna.Study) -> None:
    trial = enqueued(study, {})
    assert same(everything(TrialHyperParameters(trial)), everything(keras_tuner.HyperParameters()))
    assert study.trials[0].params == trial.params
    assert trial.params == {
        "model": "mlp",
        "units[model=mlp]": 4,
        "epochs": 0.0,
        "optimizer/rate": 0.01,
        "optimizer/decay": 2,
        "optimizer/momentum": 0.0,
        "dropout": 0.2,
        "augment": True,
        "normalise": 0,
    }


def test_an_enqueued_trial_names_the_values_that_the_space_sees(study: optuna.Study) -> None:
    values = {
        "model": "cnn",
        "units": 64,
        "epochs": 80,
        "optimizer/rate": 0.003,
        "optimizer/decay": 1.0,
        "optimizer/momentum": 0.99,
        "dropout": 0.4,
        "augment": False,
        "normalise": 1,
        "seed": 3,
    }
    trial = enqueued(study, values)
    assert same(everything(TrialHyperParameters(trial)), values)
    assert trial.params["units[model=cnn]"] == 5
    assert trial.params["optimizer/decay"] == 3
    assert 0 < trial.params["epochs"] < trial.params["optimizer/momentum"] <= 1
    assert study.trials[0].params == trial.params


def test_an_enqueued_reverse_log_value_is_met_to_within_rounding(study: optuna.Study) -> None:
    for value in (0.00123, 0.0456, 0.0999):
        hp = TrialHyperParameters(enqueued(study, {"x": value}))
        assert hp.Float("x", 1e-4, 1e-1, sampling="reverse_log") == pytest.approx(value, rel=1e-12)


def test_an_enqueued_name_may_be_the_one_in_the_study(study: optuna.Study) -> None:
    values = {"model": "cnn", "units[model=cnn]": 64, "units": 7}
    assert everything(TrialHyperParameters(enqueued(study, values)))["units"] == 64
    values["model"] = "mlp"
    assert everything(TrialHyperParameters(enqueued(study, values)))["units"] == 7


@pytest.mark.filterwarnings("error")
@each_number
def test_every_value_can_be_enqueued_and_is_recorded_inside_its_distribution(
    study: optuna.Study, declare: Space
) -> None:
    hp = declared(declare)
    for value in [hp.prob_to_value(k / 10 + 0.05) for k in range(10)]:
        trial = enqueued(study, {"x": value})
        assert same(declare(TrialHyperParameters(trial)), value)
        assert same(declare(TrialHyperParameters(FixedTrial(trial.params))), value)
        study.tell(trial, 1.0)
        study.add_trial(study.trials[-1])  # refuses parameters outside their distributions


def test_a_decimal_stands_for_the_nearest_value_of_the_grid(study: optuna.Study) -> None:
    for k in range(7):
        hp = TrialHyperParameters(enqueued(study, {"x": k / 10, "y": k / 10 - 0.3}))
        assert same(hp.Float("x", 0, 0.65, step=0.1), 0.1 * k)
        assert same(hp.Float("y", -0.3, 0.35, step=0.1), -0.3 + 0.1 * k)


BAD_VALUES: dict[str, tuple[Space, list[Any]]] = {
    "int": (lambda hp: hp.Int("x", 1, 9), [0, 10, 3.5, "3", None, True, [3], float("nan")]),
    "int with step": (lambda hp: hp.Int("x", 2, 9, step=2), [3, 9, 10, 0]),
    "int log": (lambda hp: hp.Int("x", 1, 9, sampling="log"), [0, 10, -1, 2.5]),
    "int log with step": (lambda hp: hp.Int("x", 2, 32, step=2, sampling="log"), [1, 3, 5, 64]),
    "int reverse_log": (lambda hp: hp.Int("x", 3, 90, sampling="reverse_log"), [2, 91, 3.5, "3"]),
    "float": (lambda hp: hp.Float("x", 0, 1), [-0.1, 1.1, "0.5", None, False, float("inf")]),
    "float with step": (lambda hp: hp.Float("x", 0, 1, step=0.25), [0.3, -0.25, 1.25]),
    "float with step, as KerasTuner counts it": (lambda hp: hp.Float("x", 0, 1, step=0.1), [1.0]),
    "float log": (lambda hp: hp.Float("x", 1e-4, 1e-1, sampling="log"), [0.0, 0.2, -1]),
    "float log with step": (
        lambda hp: hp.Float("x", 1e-3, 10, step=10, sampling="log"),
        [0.0011, 100.0, 1e-4, 0],
    ),
    "float reverse_log": (
        lambda hp: hp.Float("x", 1e-4, 1e-1, sampling="reverse_log"),
        [0.0, 0.2, "0.01"],
    ),
    "choice": (lambda hp: hp.Choice("x", ["a", "b"]), ["c", 0, None, ["a"]]),
    "choice of int": (lambda hp: hp.Choice("x", [1, 2]), [3, "1", None]),
    "boolean": (lambda hp: hp.Boolean("x"), ["True", 2, None]),
    "fixed": (lambda hp: hp.Fixed("x", 3), [4, "3"]),
    "one value": (lambda hp: hp.Int("x", 3, 3), [4, 2.5]),
}


@pytest.mark.parametrize(("declare", "values"), BAD_VALUES.values(), ids=BAD_VALUES.keys())
def test_an_enqueued_value_outside_the_domain_is_refused_and_not_recorded(
    study: optuna.Study, declare: Space, values: list[Any]
) -> None:
    for value in values:
        trial = enqueued(study, {"x": value})
        hp = TrialHyperParameters(trial)
        with pytest.raises(ValueError) as refusal:
            declare(hp)
        assert f"hyperparameter 'x' cannot be {value!r}; valid: " in str(refusal.value)
        assert study.trials[-1].params == trial.params == hp.values == {}
        assert hp.space == []


def test_a_default_outside_the_domain_is_refused_when_it_is_needed(study: optuna.Study) -> None:
    def declare(hp: keras_tuner.HyperParameters) -> Any:
        return hp.Float("dropout", 0, 0.5, step=0.1, default=0.25)

    valid = r"0\.0 to 0\.4 in steps of 0\.1"  # as KerasTuner samples it
    with pytest.raises(ValueError, match=rf"'dropout' cannot be 0\.25; valid: {valid}"):
        declare(TrialHyperParameters(enqueued(study, {})))
    assert declare(TrialHyperParameters(enqueued(study, {"dropout": 0.2}))) == 0.2
    declare(TrialHyperParameters(study.ask()))


def test_enqueueing_does_not_change_the_stored_request(study: optuna.Study) -> None:
    everything(TrialHyperParameters(enqueued(study, {"units": 7})))
    assert study.trials[0].system_attrs["fixed_params"] == {"units": 7}


# The same trial again


@pytest.mark.parametrize("requested", [None, {}, {"model": "cnn", "units": 64}])
def test_fixed_and_frozen_trials_repeat_the_values(
    study: optuna.Study, requested: dict[str, Any] | None
) -> None:
    trial = study.ask() if requested is None else enqueued(study, requested)
    values = everything(TrialHyperParameters(trial))
    study.tell(trial, 1.0)
    for again in (FixedTrial(trial.params), study.trials[0], study.best_trial):
        assert same(everything(TrialHyperParameters(again)), values)


@pytest.mark.parametrize("requested", [None, {}, {"model": "cnn", "units": 64}])
def test_a_trial_resumed_from_its_storage_goes_on_with_the_same_values(
    tmp_path: Path, requested: dict[str, Any] | None
) -> None:
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    study = new_study(study_name="s", storage=storage)
    begun = study.ask() if requested is None else enqueued(study, requested)
    first = TrialHyperParameters(begun)
    first.Choice("model", ["mlp", "cnn"])
    first.Int("epochs", 3, 90, sampling="reverse_log")

    def resume() -> Trial:
        sampler = optuna.samplers.RandomSampler(seed=1)
        same_study = optuna.load_study(study_name="s", storage=storage, sampler=sampler)
        return Trial(same_study, begun._trial_id)

    values = everything(TrialHyperParameters(resume()))
    assert {name: values[name] for name in first.values} == first.values
    assert same(everything(TrialHyperParameters(resume())), values)
    assert study.trials[0].params == resume().params
    assert len(study.trials) == 1


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_trial_retried_after_a_lost_worker_has_the_same_values(study: optuna.Study) -> None:
    for requested in ({"model": "cnn", "units": 64}, None):
        trial = study.ask() if requested is None else enqueued(study, requested)
        hp = TrialHyperParameters(trial)
        hp.Choice("model", ["mlp", "cnn"])
        hp.Int("epochs", 3, 90, sampling="reverse_log")
        study.tell(trial, state=TrialState.FAIL)
        optuna.storages.RetryHeartbeatStaleTrialCallback()(study, study.trials[-1])
        values = everything(TrialHyperParameters(study.ask()))
        assert {name: values[name] for name in hp.values} == hp.values
        assert requested is None or values["units"] == 64


def test_two_builds_in_one_trial_agree(study: optuna.Study) -> None:
    trial = study.ask()
    first = everything(TrialHyperParameters(trial))
    assert same(everything(TrialHyperParameters(trial)), first)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("group", [True, False])
def test_tpe_learns_from_conditional_spaces_enqueued_trials_and_indices(group: bool) -> None:
    sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=4, group=group)
    study = optuna.create_study(sampler=sampler)
    study.enqueue_trial({"model": "cnn", "units": 64})

    def objective(trial: Trial) -> float:
        values = everything(TrialHyperParameters(trial))
        return abs(values["units"] - 8) + values["optimizer/rate"]

    study.optimize(objective, n_trials=12)
    assert all(trial.state == TrialState.COMPLETE for trial in study.trials)


# Bad input

KERAS_TUNERS_ERRORS: dict[str, Space] = {
    "empty choice": lambda hp: hp.Choice("x", []),
    "choice of mixed types": lambda hp: hp.Choice("x", [1, "a"]),
    "choice of objects": lambda hp: hp.Choice("x", [[1], [2]]),
    "default is not a choice": lambda hp: hp.Choice("x", [1, 2], default=3),
    "strings in order": lambda hp: hp.Choice("x", ["a", "b"], ordered=True),
    "default is no boolean": lambda hp: hp.Boolean("x", default="yes"),
    "int, min above max": lambda hp: hp.Int("x", 2, 1),
    "float, min above max": lambda hp: hp.Float("x", 2, 1),
    "int, fractional bound": lambda hp: hp.Int("x", 1.5, 3),
    "int, fractional step": lambda hp: hp.Int("x", 1, 3, step=0.5),
    "log with min 0": lambda hp: hp.Float("x", 0, 1, sampling="log"),
    "reverse_log with min 0": lambda hp: hp.Int("x", 0, 9, sampling="reverse_log"),
    "log with step 1": lambda hp: hp.Int("x", 1, 9, step=1, sampling="log"),
    "fixed object": lambda hp: hp.Fixed("x", None),
    "unknown parent": lambda hp: hp.Int("x", 1, 9, parent_name="y", parent_values=[1]),
    "its own parent": lambda hp: [
        hp.Int("x", 1, 1),
        hp.Float("x", 0, 1, parent_name="x", parent_values=[1]),
    ],
}


@pytest.mark.parametrize("declare", KERAS_TUNERS_ERRORS.values(), ids=KERAS_TUNERS_ERRORS.keys())
def test_a_declaration_that_keras_tuner_refuses_raises_its_error(
    study: optuna.Study, declare: Space
) -> None:
    with pytest.raises((ValueError, TypeError)) as theirs:
        declare(keras_tuner.HyperParameters())
    with pytest.raises((ValueError, TypeError)) as ours:
        declare(TrialHyperParameters(study.ask()))
    assert (ours.type, str(ours.value)) == (theirs.type, str(theirs.value))
    assert study.trials[0].params == {}


def test_unknown_sampling_raises_keras_tuners_error(study: optuna.Study) -> None:
    with pytest.raises(ValueError, match=r"name='x'\), sampling must be one of"):
        TrialHyperParameters(study.ask()).Float("x", 0, 1, sampling="cubic")
    assert study.trials[0].params == {}


OUR_ERRORS: dict[str, tuple[Space, str]] = {
    "int, step larger than the range": (
        lambda hp: hp.Int("x", 1, 9, step=9),
        "step is too large",
    ),
    "float, step larger than the range": (
        lambda hp: hp.Float("x", 0, 1, step=2),
        "step is too large",
    ),
    "log, step larger than the range": (
        lambda hp: hp.Int("x", 2, 9, step=5, sampling="log"),
        "step is too large",
    ),
    "float, step equal to the range, where KerasTuner finds one value only": (
        lambda hp: hp.Float("x", 0.1, 0.3, step=0.2),
        "step is too large",
    ),
    "int, step 0": (lambda hp: hp.Int("x", 1, 9, step=0), "step must be above 0"),
    "float, negative step": (
        lambda hp: hp.Float("x", 0, 1, step=-0.1),
        "step must be above 0",
    ),
    "infinite": (lambda hp: hp.Float("x", 0, float("inf")), "bounds must be finite"),
    "not a number": (lambda hp: hp.Float("x", float("nan"), 1), "bounds must be finite"),
}


@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize(("declare", "message"), OUR_ERRORS.values(), ids=OUR_ERRORS.keys())
def test_a_declaration_that_cannot_be_sampled_is_refused_by_name(
    study: optuna.Study, declare: Space, message: str, active: bool
) -> None:
    hp = TrialHyperParameters(study.ask())
    hp.Fixed("on", active)
    with (
        hp.conditional_scope("on", [True]),
        pytest.raises(ValueError, match=f"{message}.*name: 'x'"),
    ):
        declare(hp)
    assert study.trials[0].params == {}
    assert "x" not in hp and len(hp.space) == 1


@pytest.mark.parametrize(
    "second",
    [
        lambda hp: hp.Choice("x", ["a", "b", "c"]),
        lambda hp: hp.Int("x", 1, 9),
        lambda hp: hp.Float("x", 1, 9, sampling="log"),
    ],
)
def test_a_declaration_that_contradicts_the_study_is_refused_by_name(
    tmp_path: Path, second: Space
) -> None:
    for storage in (None, f"sqlite:///{tmp_path / 'optuna.db'}"):
        study = new_study(storage=storage)
        TrialHyperParameters(study.ask()).Choice("x", ["a", "b"])
        hp = TrialHyperParameters(study.ask())
        with pytest.raises(ValueError, match="hyperparameter 'x': "):
            second(hp)
        assert study.trials[1].params == hp.values == {}


def test_a_parameter_missing_from_a_fixed_trial_is_named() -> None:
    with pytest.raises(ValueError, match=r"hyperparameter 'block/units': .*not found"):
        hp = TrialHyperParameters(FixedTrial({}))
        with hp.name_scope("block"):
            hp.Int("units", 1, 9)
