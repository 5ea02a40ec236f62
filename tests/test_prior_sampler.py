"""The sampler that varies what is good so far: what it varies, and how."""

import math
from collections import Counter
from statistics import mean, stdev

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from mnist_cnn.optuna_internals import contains
from mnist_cnn.prior_sampler import PriorSampler
from mnist_cnn.study.chains import RUNG
from mnist_cnn.study.study import BASELINE, BUILT, EARLIER

X = FloatDistribution(0.0, 1.0)
# Parents are copied but for one parameter, which changes by less than is seen.
COPIED = {"changed": 1e-12, "width": 1e-12}


def study_of(*trials, direction="maximize", **sampler):
    """A study with these trials and a sampler that takes no configuration at random."""
    own = {"seed": 0, "random_share": 0.0} | sampler
    study = optuna.create_study(direction=direction, sampler=PriorSampler(**own))
    study.add_trials(trials)
    return study


def trial_of(value, x, state=TrialState.COMPLETE, rung=0, **more):
    """A trial that ended; it is pruned at this value if it is not complete."""
    complete = state == TrialState.COMPLETE
    return create_trial(
        state=state,
        value=value if complete else None,
        params={"x": x},
        distributions={"x": X},
        intermediate_values={} if complete or value is None else {1: value},
        user_attrs={RUNG: rung} if rung else {},
        **more,
    )


def sampled(study, times=50):
    """How often each value is sampled for x, by trials that run side by side."""
    return Counter(round(study.ask({"x": X}).params["x"], 9) for _ in range(times))


def running_baseline(study, x, attribute=BASELINE):
    study.enqueue_trial({"x": x}, user_attrs={attribute: True})
    trial = study.ask({"x": X})
    trial.set_user_attr(BUILT, True)
    return trial


# How a configuration is varied


@pytest.mark.parametrize(
    ("distribution", "parent"),
    [
        (FloatDistribution(-1.0, 1.0), 0.3),
        (FloatDistribution(0.0, 1.0), 1.0),  # at an end of the range
        (FloatDistribution(0.1, 0.7, step=0.2), 0.5),
        (FloatDistribution(1e-5, 1e-1, log=True), 1e-5),
        (IntDistribution(-3, 9), 9),
        (IntDistribution(2, 17, step=3), 8),
        (IntDistribution(1, 1024, log=True), 1024),
        (IntDistribution(1, 2, log=True), 1),
        (FloatDistribution(0.5, 0.5), 0.5),
        (CategoricalDistribution(["a", "b", "c"]), "b"),
        (CategoricalDistribution([True, False]), True),
        (CategoricalDistribution([None, 2]), None),
    ],
    ids=str,
)
def test_what_is_varied_stays_in_its_range_and_keeps_its_type_and_step(distribution, parent):
    best = create_trial(value=1.0, params={"x": parent}, distributions={"x": distribution})
    study = study_of(best, changed=1.0)
    for _ in range(200):
        value = study.ask({"x": distribution}).params["x"]
        assert contains(distribution, value)
        if isinstance(distribution, CategoricalDistribution):
            assert value in distribution.choices
        else:
            assert type(value) is type(parent)


@pytest.mark.parametrize("width", [0.0, 1e-3])
def test_a_width_far_below_a_step_keeps_the_value(width):
    steps = IntDistribution(0, 10, step=5)
    best = create_trial(value=1.0, params={"x": 5}, distributions={"x": steps})
    assert study_of(best, width=width).ask({"x": steps}).params == {"x": 5}


@pytest.mark.parametrize("log", [False, True])
def test_a_number_is_varied_by_a_share_of_its_range(log):
    low, high = (1e-4, 1.0) if log else (0.0, 8.0)
    scale = math.log if log else float
    distribution = FloatDistribution(low, high, log=log)
    parent = 1e-2 if log else 4.0  # the middle
    best = create_trial(value=1.0, params={"x": parent}, distributions={"x": distribution})
    study = study_of(best, changed=1.0, width=0.1)
    values = [scale(study.ask({"x": distribution}).params["x"]) for _ in range(500)]
    whole = scale(high) - scale(low)
    assert mean(values) == pytest.approx(scale(parent), abs=0.02 * whole)
    assert stdev(values) == pytest.approx(0.1 * whole, rel=0.2)


def test_each_parameter_is_changed_with_the_given_probability():
    names = [f"x{index}" for index in range(500)]
    distributions = dict.fromkeys(names, X)
    best = create_trial(value=1.0, params=dict.fromkeys(names, 0.5), distributions=distributions)
    params = study_of(best, changed=0.25).ask(distributions).params
    assert sum(value != 0.5 for value in params.values()) == pytest.approx(125, abs=40)


def test_a_category_is_any_other_category_where_it_is_changed():
    kinds = CategoricalDistribution(["a", "b", "c"])
    best = create_trial(value=1.0, params={"kind": "b"}, distributions={"kind": kinds})
    study = study_of(best, changed=1.0)
    found = Counter(study.ask({"kind": kinds}).params["kind"] for _ in range(300))
    assert found["b"] == 0
    assert all(found[kind] == pytest.approx(150, abs=40) for kind in "ac")


@pytest.mark.parametrize("choice", [None, 0, False, ""])
def test_one_parameter_always_changes_and_a_category_that_is_nothing_is_kept_too(choice):
    kinds, steps = CategoricalDistribution([choice, "other"]), IntDistribution(0, 9)
    space = {"kind": kinds, "steps": steps}
    best = create_trial(value=1.0, params={"kind": choice, "steps": 4}, distributions=space)
    study = study_of(best, changed=1e-12)
    changes = Counter()
    for _ in range(50):
        params = study.ask(space).params
        kept = params["kind"] is choice or params["kind"] == choice
        assert kept != (params["steps"] == 4)
        changes["steps" if kept else "kind"] += 1
    assert min(changes["steps"], changes["kind"]) > 10


def test_a_parameter_that_the_parent_does_not_have_is_sampled_at_random():
    study = study_of(trial_of(1.0, 0.5), **COPIED)
    found = [study.ask({"x": X, "y": X}).params for _ in range(50)]
    assert {round(params["x"], 9) for params in found} == {0.5}
    assert len({params["y"] for params in found}) == 50


def test_a_conditional_parameter_is_varied_where_its_branch_is_sampled():
    kinds = CategoricalDistribution(["a", "b"])
    best = create_trial(
        value=1.0,
        params={"kind": "b", "width": 7},
        distributions={"kind": kinds, "width": IntDistribution(1, 9)},
    )
    study = study_of(best, changed=0.5)
    for _ in range(50):
        trial = study.ask()
        if trial.suggest_categorical("kind", ["a", "b"]) == "a":
            assert 0 <= trial.suggest_float("rate", 0.0, 1.0) <= 1
        else:
            assert 1 <= trial.suggest_int("width", 1, 9) <= 9


@pytest.mark.parametrize(
    "distribution", [FloatDistribution(2.0, 3.0), IntDistribution(2, 8, step=2)], ids=str
)
def test_a_value_that_is_not_in_the_range_any_more_is_sampled_at_random(distribution):
    wide = type(distribution)(0, 9)
    best = create_trial(value=1.0, params={"x": 5}, distributions={"x": wide})
    study = study_of(best, **COPIED)
    assert all(
        contains(distribution, study.ask({"x": distribution}).params["x"]) for _ in range(20)
    )


# What is varied


def test_without_any_trial_it_samples_at_random():
    assert len(sampled(study_of(**COPIED))) == 50


@pytest.mark.parametrize(("direction", "best"), [("maximize", 0.9), ("minimize", 0.1)])
def test_the_best_share_is_varied(direction, best):
    values = [0.5, 0.1, 0.3, 0.9, 0.2, 0.6]
    study = study_of(*(trial_of(v, x=v) for v in values), direction=direction, **COPIED)
    assert set(sampled(study)) == {best}  # one of six
    study.add_trial(trial_of(0.55, x=0.55))
    assert len(sampled(study)) == 2  # two of seven


@pytest.mark.parametrize(("direction", "good"), [("maximize", 0.9), ("minimize", 0.1)])
def test_who_came_further_is_better_than_who_stopped_at_a_lower_rung(direction, good):
    study = study_of(
        trial_of(good, 0.25, TrialState.PRUNED),
        trial_of(0.5, 0.75, TrialState.PRUNED, rung=1),
        direction=direction,
        **COPIED,
        parents=0.5,
    )
    assert set(sampled(study)) == {0.75}


def test_what_failed_has_no_value_or_still_runs_is_not_varied():
    study = study_of(
        trial_of(0.9, 0.1, TrialState.FAIL),
        trial_of(None, 0.2, TrialState.PRUNED),
        trial_of(math.nan, 0.3, TrialState.PRUNED),
        trial_of(0.4, 0.4),
        **COPIED,
        parents=1.0,
    )
    other = study.ask({"x": X})
    other.report(1.0, 1)
    assert set(sampled(study)) == {0.4}


def test_baselines_are_varied_before_anything_was_compared():
    study = study_of(**COPIED)
    for x in (0.25, 0.75):
        running_baseline(study, x)
    found = sampled(study)
    assert set(found) == {0.25, 0.75} and min(found.values()) > 10


def test_what_was_best_in_an_earlier_study_is_varied_like_a_baseline():
    study = study_of(trial_of(0.5, 0.5), **COPIED)
    running_baseline(study, 0.75, EARLIER)
    assert set(sampled(study)) == {0.5, 0.75}


def test_a_baseline_that_no_worker_took_yet_has_no_values_to_vary():
    study = study_of(trial_of(0.5, 0.5), **COPIED)
    study.enqueue_trial({"x": 0.25}, user_attrs={BASELINE: True})
    assert study.ask({"x": X}).params == {"x": 0.25}  # as it was given, not varied
    for _ in range(2):
        study.enqueue_trial({"x": 0.75}, user_attrs={BASELINE: True})
    study.ask()  # it has not sampled yet
    study.ask({"x": X}).set_user_attr(BUILT, True)
    assert set(sampled(study)) == {0.5, 0.75}


@pytest.mark.parametrize("attribute", [BASELINE, EARLIER])
def test_a_baseline_whose_model_is_being_built_is_not_varied_yet(attribute):
    study = study_of(trial_of(0.5, 0.5), **COPIED)
    study.enqueue_trial({"x": 0.25, "y": 0.25}, user_attrs={attribute: True})
    trial = study.ask({"x": X})  # its space has not asked for y yet
    assert set(sampled(study)) == {0.5}
    trial.suggest_float("y", 0.0, 1.0)
    trial.set_user_attr(BUILT, True)
    assert set(sampled(study)) == {0.25, 0.5}


def test_a_baseline_that_is_worse_than_others_is_forgotten():
    study = study_of(**COPIED)
    baseline = running_baseline(study, 0.25)
    for x in (0.7, 0.8):
        study.add_trial(trial_of(x, x))
    assert set(sampled(study)) == {0.25, 0.8}  # it may still turn out better
    study.tell(baseline, 0.1)
    assert set(sampled(study)) == {0.8}


def test_a_good_baseline_stays():
    study = study_of(**COPIED)
    baseline = running_baseline(study, 0.25)
    study.add_trials([trial_of(0.1 * n, 0.1 * n) for n in range(1, 6)])
    study.tell(baseline, 0.9)
    assert set(sampled(study)) == {0.25}


@pytest.mark.parametrize("share", [0.0, 1 / 3, 1.0])
def test_a_share_of_the_configurations_is_sampled_at_random(share):
    study = study_of(trial_of(1.0, 0.5), **COPIED, random_share=share)
    assert sampled(study, times=300)[0.5] == pytest.approx(300 * (1 - share), abs=40)


def test_with_several_objectives_the_front_and_new_baselines_are_varied():
    study = optuna.create_study(
        directions=["maximize", "minimize"],
        sampler=PriorSampler(seed=0, random_share=0.0, **COPIED),
    )
    for x, values in ((0.1, [0.9, 5.0]), (0.2, [0.5, 1.0]), (0.3, [0.4, 2.0])):
        study.add_trial(create_trial(values=values, params={"x": x}, distributions={"x": X}))
    assert set(sampled(study)) == {0.1, 0.2}
    running_baseline(study, 0.7)
    assert set(sampled(study)) == {0.1, 0.2, 0.7}


def test_a_seed_repeats_what_is_sampled():
    def values(seed):
        study = study_of(
            *(trial_of(v, v) for v in (0.2, 0.4, 0.6)), seed=seed, random_share=0.5, parents=1.0
        )
        return [study.ask({"x": X, "y": X}).params for _ in range(20)]

    assert values(1) == values(1) != values(2)


def test_it_finds_a_maximum_sooner_than_chance():
    def best(sampler):
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.optimize(
            lambda trial: -sum((trial.suggest_float(n, 0, 1) - 0.7) ** 2 for n in "abcd"), 100
        )
        return study.best_value

    ours = [best(PriorSampler(seed=seed)) for seed in range(8)]
    chance = [best(optuna.samplers.RandomSampler(seed=seed)) for seed in range(8)]
    assert mean(ours) > mean(chance)
