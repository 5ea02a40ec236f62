"""Random search spaces: KerasTuner's own answers, and the same answers from what a trial stores."""

from __future__ import annotations

from typing import Any

import keras_tuner
import optuna
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_tuner.engine import hyperparameters as kinds
from optuna.trial import FixedTrial, Trial

from mnist_cnn.hyperparameters import TrialHyperParameters

optuna.logging.set_verbosity(optuna.logging.WARNING)

# A declaration is (kind, arguments); a space is a list of declarations and of scopes over spaces:
# ("name_scope", name, space) and ("conditional_scope", parent's name, its values, space).
Declaration = tuple[str, dict[str, Any]]
Space = list[tuple[Any, ...]]


@st.composite
def ints(draw: st.DrawFn) -> Declaration:
    sampling = draw(st.sampled_from(["linear", "log", "reverse_log"]))
    low = draw(st.integers(1 if sampling != "linear" else -1000, 1000))
    high = low + draw(st.integers(0, 1000))
    step = None
    if sampling == "linear" and low < high:
        step = draw(st.none() | st.integers(1, high - low))
    elif sampling != "linear" and high // low >= 2:
        step = draw(st.none() | st.integers(2, high // low))
    arguments = {"min_value": low, "max_value": high, "step": step, "sampling": sampling}
    return "Int", arguments


@st.composite
def floats(draw: st.DrawFn) -> Declaration:
    if draw(st.booleans()):
        low = draw(st.integers(-100, 100) | st.decimals(-1, 1, places=2) | st.floats(-100, 100))
        width = draw(st.integers(0, 10) | st.decimals(0, 10, places=2) | st.floats(0, 100))
        low, high = float(low), float(low) + float(width)
        step = draw(st.none() | st.integers(1, 30).map(lambda parts: (high - low) / parts))
        step = step if step and low + step > low and low + 2 * step <= high else None
        arguments = {"min_value": low, "max_value": high, "step": step, "sampling": "linear"}
        return "Float", arguments
    low = draw(st.sampled_from([1e-6, 1e-4, 0.001, 0.5, 3.0]) | st.floats(1e-6, 1e3))
    ratio = draw(st.floats(1, 1e6))
    step = draw(st.none() | st.floats(1.1, 20) | st.sampled_from([2, 10])) if ratio > 25 else None
    sampling = draw(st.sampled_from(["log", "reverse_log"]))
    arguments = {"min_value": low, "max_value": low * ratio, "step": step, "sampling": sampling}
    return "Float", arguments


choices = (
    st.lists(st.integers(-100, 100), min_size=1, max_size=5)
    | st.lists(st.floats(-100, 100), min_size=1, max_size=5)
    | st.lists(st.text("ab|,=[]\\/", max_size=3), min_size=1, max_size=5)
    | st.lists(st.booleans(), min_size=1, max_size=3)
).map(lambda values: ("Choice", {"values": values}))
booleans = st.booleans().map(lambda default: ("Boolean", {"default": default}))
constants = (
    st.integers(-100, 100) | st.floats(-100, 100) | st.text("ab", max_size=3) | st.booleans()
).map(lambda value: ("Fixed", {"value": value}))
declarations = ints() | floats() | choices | booleans | constants


def some_values(kind: str, arguments: dict[str, Any]) -> list[Any]:
    """Return a few values by which a condition can hold or not."""
    hp = getattr(kinds, kind)(name="parent", **arguments)
    return [hp.prob_to_value(probability) for probability in (0.0, 0.3, 0.6, 0.9)]


@st.composite
def spaces(draw: st.DrawFn, depth: int = 2) -> Space:
    space: Space = []
    parents: list[tuple[str, list[Any]]] = []
    for _ in range(draw(st.integers(1, 4))):
        item = draw(st.sampled_from(["declare", "name_scope", "conditional_scope"][: depth + 1]))
        if item == "name_scope":
            space.append((item, draw(st.sampled_from("st")), draw(spaces(depth - 1))))
        elif item == "conditional_scope" and parents:
            name, values = draw(st.sampled_from(parents))
            kept = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3))
            space.append((item, name, kept, draw(spaces(depth - 1))))
        else:
            name = draw(st.sampled_from("abcdef"))  # so some names come twice
            kind, arguments = draw(declarations)
            space.append((kind, name, arguments))
            parents.append((name, some_values(kind, arguments)))
    return space


def run(space: Space, hp: keras_tuner.HyperParameters) -> list[Any]:
    """Run `space` as its author would write it, and return all that it sees."""
    seen: list[Any] = []
    for item in space:
        if item[0] == "name_scope":
            with hp.name_scope(item[1]):
                seen += run(item[2], hp)
        elif item[0] == "conditional_scope":
            with hp.conditional_scope(item[1], item[2]):
                seen += run(item[3], hp)
        else:
            kind, name, arguments = item
            seen.append(getattr(hp, kind)(name, **arguments))
    return seen


def outcome(space: Space, hp: keras_tuner.HyperParameters) -> str:
    """Return all that `space` sees, or the error that stops it, with types and every digit."""
    try:
        return repr(run(space, hp))
    except (KeyError, ValueError) as error:
        return repr(error)


def new_trial(seed: int) -> Trial:
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()


def enqueued_trial(values: dict[str, Any]) -> Trial:
    study = optuna.create_study()
    study.enqueue_trial(values)
    return study.ask()


def is_keras_tuners(hp: Any, value: Any) -> bool:
    """Whether `value` is one that KerasTuner's sampling gives, of the same type."""
    if type(value) is not type(hp.prob_to_value(0.5)):
        return False
    if isinstance(hp, kinds.Int | kinds.Float) and hp.step is None:
        return bool(hp.min_value <= value <= hp.max_value)
    if isinstance(hp, kinds.Int | kinds.Float):
        return value in [type(value)(own) for own in hp.values]
    return value in hp.values


seeds = st.integers(0, 2**32 - 1)
search = settings(deadline=None, derandomize=True, max_examples=120)


@search
@given(declarations, seeds)
def test_values_lie_in_keras_tuners_own_domain(declaration: Declaration, seed: int) -> None:
    kind, arguments = declaration
    trial = new_trial(seed)
    value = getattr(TrialHyperParameters(trial), kind)("x", **arguments)
    assert is_keras_tuners(getattr(kinds, kind)(name="x", **arguments), value)
    assert trial.params.keys() == trial.distributions.keys() <= {"x"}


@search
@given(spaces(), seeds)
def test_a_space_sees_what_keras_tuner_shows_it(space: Space, seed: int) -> None:
    ours = TrialHyperParameters(new_trial(seed))
    ours_sees = outcome(space, ours)
    theirs = keras_tuner.HyperParameters()
    theirs.values = dict(ours.values)  # as KerasTuner's own tuners hand over a trial's values
    assert ours_sees == outcome(space, theirs)
    assert repr(ours.get_config()) == repr(theirs.get_config())
    assert ours.active_scopes == theirs.active_scopes
    assert ours.inactive_scopes == theirs.inactive_scopes


@search
@given(spaces(), seeds)
def test_the_stored_parameters_give_the_same_values_again(space: Space, seed: int) -> None:
    trial = new_trial(seed)
    first = TrialHyperParameters(trial)
    seen = outcome(space, first)
    again = TrialHyperParameters(FixedTrial(trial.params))
    assert outcome(space, again) == seen
    assert repr(again.values) == repr(first.values)


@search
@given(spaces(), seeds)
def test_enqueued_values_give_the_same_values_and_parameters_again(space: Space, seed: int) -> None:
    first = TrialHyperParameters(new_trial(seed))
    seen = outcome(space, first)
    trial = enqueued_trial(first.values)
    second = TrialHyperParameters(trial)
    assert outcome(space, second) == seen
    assert repr(second.values) == repr(first.values)
    for name, distribution in trial.distributions.items():
        assert distribution._contains(distribution.to_internal_repr(trial.params[name]))


@search
@given(ints() | floats(), st.floats(0.001, 0.999))
def test_every_value_of_keras_tuner_can_be_enqueued(
    declaration: Declaration, probability: float
) -> None:
    kind, arguments = declaration
    hp = getattr(kinds, kind)(name="x", **arguments)
    value = hp.prob_to_value(probability)
    if hp.step is None:  # its rounding can pass a bound
        value = min(max(value, hp.min_value), hp.max_value)
    answer = getattr(TrialHyperParameters(enqueued_trial({"x": value})), kind)("x", **arguments)
    assert repr(answer) == repr(value)


@search
@given(spaces())
def test_a_trial_enqueued_with_nothing_sees_the_defaults(space: Space) -> None:
    ours = outcome(space, TrialHyperParameters(enqueued_trial({})))
    if "cannot be" not in ours:  # KerasTuner's default may lie beside its own grid
        assert ours == outcome(space, keras_tuner.HyperParameters())
