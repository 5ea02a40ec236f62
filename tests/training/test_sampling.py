"""Samplers and pruners of all kinds, as workers use them: one made anew for each trial."""

import importlib.util
from copy import copy
from functools import partial
from itertools import product

import numpy as np
import optuna
import pytest
from optuna.samplers import (
    GridSampler,
    NSGAIISampler,
    PartialFixedSampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import TrialState, create_trial
from scipy.stats import qmc
from strange_spaces import dense

from mnist_cnn.datasets import mnist
from mnist_cnn.errors import UserError
from mnist_cnn.experiment import Experiment
from mnist_cnn.hyperparameters import TrialHyperParameters
from mnist_cnn.optuna_internals import StudyAs, adopt_trial, report_value, trial_id
from mnist_cnn.prior_sampler import PriorSampler
from mnist_cnn.study import chains
from mnist_cnn.training.sampling import (
    REPEATS_IN_A_ROW,
    after_trial,
    check_sampling,
    has_nothing_left,
    random_after_repeats,
    repeated_trial,
    sampler_of,
)

GRID = {"units": [8, 16, 32, 64], "depth": [1, 2, 3]}


def grid_space(hp):
    return hp.Choice("units", GRID["units"]), hp.Int("depth", 1, 3)


def square(hp):
    return hp.Float("x", 0, 1), hp.Float("y", 0, 1)


def mixed(hp):
    hp.Float("rate", 1e-4, 1e-1, sampling="log")
    if hp.Choice("kind", ["a", "b"]) == "b":
        hp.Int("width", 1, 4)


class Search:
    """A search whose workers take turns, in one process and without trainings."""

    def __init__(self, sampler, space, pruner=optuna.pruners.NopPruner, baselines=()):
        self.space = space
        self.experiment = Experiment(space=dense, dataset=mnist, sampler=sampler, pruner=pruner)
        self.storage = optuna.storages.InMemoryStorage()
        random = optuna.samplers.RandomSampler()
        self.study = optuna.create_study(storage=self.storage, study_name="s", sampler=random)
        for baseline in baselines:
            self.study.enqueue_trial(baseline)
        self.exhausted = False

    def run(self, trials, workers=1):
        """Run trials until there are so many, or the sampler has nothing left."""
        running = []
        while running or (len(self.study.trials) < trials and not self.exhausted):
            while len(running) < workers and len(self.study.trials) < trials:
                if self.exhausted:
                    break
                running += self.begin()
            if running:
                self.end(running.pop(0))
        return self

    def begin(self):
        """Begin a trial as a worker does; gives nothing if it repeats another one."""
        trial = self.adopt(self.study.ask().number)
        repeated = repeated_trial(trial)
        if repeated is None:
            self.space(TrialHyperParameters(trial))
            repeated = repeated_trial(trial, also_running=True)
        if repeated is None:
            return [trial]
        trial.set_user_attr(chains.REPEATS, repeated)
        self.exhausted |= has_nothing_left(trial)
        self.study.tell(trial.number, state=TrialState.FAIL)
        return []

    def adopt(self, number):
        study = optuna.load_study(study_name="s", storage=self.storage)
        seed, trials = self.experiment.seed, study.get_trials(deepcopy=False)
        self.own_sampler = sampler_of(self.experiment, seed, number)
        study.sampler = random_after_repeats(self.own_sampler, trials, number, seed)
        study.pruner = self.experiment.pruner()
        return adopt_trial(study, trial_id(self.storage, "s", number))

    def end(self, trial):
        value = sum(map(float, map(len, map(str, trial.params.values()))))
        self.exhausted |= after_trial(self.own_sampler, trial, TrialState.COMPLETE, [value])
        self.study.tell(trial.number, value)

    @property
    def points(self):
        """The parameters of the trials that came to an end, in order."""
        complete = self.study.get_trials(states=[TrialState.COMPLETE])
        return [tuple(trial.params.values()) for trial in complete]


# Each sampler by name


WITH_ARGUMENTS = {
    "GridSampler": (partial(GridSampler, GRID), grid_space),
    "PartialFixedSampler": (
        lambda seed: PartialFixedSampler({"kind": "b"}, TPESampler(seed=seed)),
        mixed,
    ),
    "BruteForceSampler": (optuna.samplers.BruteForceSampler, grid_space),
    "QMCSampler": (partial(QMCSampler, warn_independent_sampling=False), mixed),
}
PACKAGES = {"GPSampler": "torch", "CmaEsSampler": "cmaes"}
NO_SAMPLERS = ("BaseSampler", "BaseGASampler", "nsgaii")


@pytest.mark.parametrize("name", sorted({*optuna.samplers.__all__} - {*NO_SAMPLERS}))
def test_a_sampler_is_searched_with_or_refused_with_what_to_install(name):
    sampler, space = WITH_ARGUMENTS.get(name, (getattr(optuna.samplers, name), mixed))
    search = Search(sampler, space)
    package = PACKAGES.get(name)
    if package and importlib.util.find_spec(package) is None:
        with pytest.raises(UserError, match=f"{name} needs .*uv pip install .* {package}`"):
            check_sampling(search.experiment)
        return
    check_sampling(search.experiment)
    points = search.run(12).points
    assert len(points) == 12 and len(set(points)) > 6
    assert Search(sampler, space).run(12).points == points  # its seed is the experiment's


@pytest.mark.parametrize("name", NO_SAMPLERS)
def test_what_is_no_sampler_is_refused(name):
    experiment = Experiment(space=dense, dataset=mnist, sampler=getattr(optuna.samplers, name))
    with pytest.raises(UserError, match=r"its sampler cannot be created: .*; valid: a class, or"):
        check_sampling(experiment)


def test_a_sampler_that_needs_a_package_is_found_inside_of_another():
    def sampler(seed):
        return PartialFixedSampler({"kind": "b"}, optuna.samplers.GPSampler(seed=seed))

    if importlib.util.find_spec("torch") is None:
        with pytest.raises(UserError, match="GPSampler needs the package 'torch'"):
            check_sampling(Experiment(space=dense, dataset=mnist, sampler=sampler))


# Each pruner by name


PRUNERS = {
    "PatientPruner": partial(optuna.pruners.PatientPruner, optuna.pruners.MedianPruner(2), 1),
    "PercentilePruner": partial(optuna.pruners.PercentilePruner, 25.0, n_startup_trials=2),
    "ThresholdPruner": partial(optuna.pruners.ThresholdPruner, upper=0.9),
    "WilcoxonPruner": partial(optuna.pruners.WilcoxonPruner, n_startup_steps=2),
    "MedianPruner": partial(optuna.pruners.MedianPruner, 2),
}


@pytest.mark.parametrize("name", sorted({*optuna.pruners.__all__} - {"BasePruner"}))
def test_a_pruner_that_is_made_anew_for_each_trial_stops_bad_ones(name):
    search = Search(TPESampler, square, PRUNERS.get(name, getattr(optuna.pruners, name)))
    check_sampling(search.experiment)
    pruned = []
    for number in range(8):
        (trial,) = search.begin()
        last = bad_curve(number) if number >= 4 else good_curve(number)
        for epoch, value in enumerate(last, start=1):
            report_value(trial, value, epoch)
            if trial.should_prune():
                pruned.append(number)
                search.study.tell(number, state=TrialState.PRUNED)
                break
        else:
            search.study.tell(number, last[-1])
    if name == "NopPruner":
        assert pruned == []
    else:
        assert {4, 5, 6, 7} & {*pruned}


def good_curve(number):
    return [0.5 / epoch + number / 1000 for epoch in range(1, 10)]


def bad_curve(number):
    return [1.0 + epoch / 100 + number / 1000 for epoch in range(1, 10)]


def test_a_pruner_without_its_arguments_is_refused():
    experiment = Experiment(space=dense, dataset=mnist, pruner=optuna.pruners.PatientPruner)
    with pytest.raises(UserError, match="its pruner cannot be created: TypeError"):
        check_sampling(experiment)


# A grid


def grid(**more):
    return Search(partial(GridSampler, GRID), grid_space, **more)


@pytest.mark.parametrize("workers", [1, 2])
def test_each_point_of_a_grid_is_tried_once_and_then_the_search_ends(workers):
    search = grid().run(30, workers)
    assert sorted(search.points) == sorted(product(*GRID.values()))
    assert search.exhausted
    failed = search.study.get_trials(states=[TrialState.FAIL])
    assert len(failed) == workers - 1  # which asked when the last point was another's


@pytest.mark.parametrize("workers", [1, 2])
def test_a_baseline_beside_a_grid_is_one_trial_more(workers):
    search = grid(baselines=[{"units": 8, "depth": 2}, {"depth": 3}]).run(30, workers)
    assert sorted(search.points[:2]) == [(8, 2), (8, 3)]
    assert sorted(search.points[2:]) == sorted(product(*GRID.values()))
    assert search.exhausted


def test_of_two_trials_that_got_one_point_at_once_the_later_is_given_up():
    search = grid()
    first, second = (search.study.ask().number for _ in range(2))
    attributes = {"grid_id": 7, "search_space": GRID}
    for number in (first, second):
        for name, value in attributes.items():
            known = trial_id(search.storage, "s", number)
            search.storage.set_trial_system_attr(known, name, value)
    assert repeated_trial(search.adopt(first)) is None
    later = search.adopt(second)
    assert repeated_trial(later) == first and not has_nothing_left(later)


def test_a_point_whose_trial_was_continued_is_not_tried_again():
    search = grid()
    study = StudyAs("s", search.storage, chains.configurations)
    study.sampler = sampler_of(search.experiment, 0, 0)
    first = search.begin()[0]
    search.study.tell(first.number, state=TrialState.PRUNED)
    attributes = {chains.CONTINUES: first.number, chains.FIRST: first.number}
    search.study.enqueue_trial(first.params, user_attrs=attributes)
    search.study.tell(search.study.ask(), 1.0)
    assert [trial.number for trial in study.trials] == [first.number]
    other = trial_id(search.storage, "s", search.study.ask().number)
    point = search.study.trials[first.number].system_attrs["grid_id"]
    for name, value in {"grid_id": point, "search_space": GRID}.items():
        search.storage.set_trial_system_attr(other, name, value)
    assert repeated_trial(adopt_trial(study, other)) == first.number


def test_a_grid_with_fixed_parameters_is_tried_once_too():
    def sampler(seed):
        return PartialFixedSampler({"depth": 2}, GridSampler({"units": GRID["units"]}, seed))

    search = Search(sampler, grid_space).run(30, workers=2)
    assert sorted(search.points) == [(units, 2) for units in GRID["units"]]


def test_a_search_that_tries_everything_ends_by_itself():
    search = Search(optuna.samplers.BruteForceSampler, grid_space).run(30)
    assert sorted(search.points) == sorted(product(*GRID.values()))
    assert search.exhausted


# A small space


@pytest.mark.parametrize("sampler", [PriorSampler, TPESampler, RandomSampler, NSGAIISampler])
@pytest.mark.parametrize("workers", [1, 2])
def test_no_configuration_of_a_small_space_is_tried_twice_and_the_search_ends(sampler, workers):
    search = Search(sampler, grid_space).run(500, workers)
    assert len(search.points) == len(set(search.points)) > 9  # of twelve
    assert search.exhausted
    assert chains.tried(search.study.trials) == len(search.points)
    repeated = [t for t in search.study.trials if chains.REPEATS in t.user_attrs]
    assert len(repeated) >= REPEATS_IN_A_ROW


def test_a_repeated_trial_names_the_first_one_and_a_failed_one_may_be_tried_again():
    search = Search(RandomSampler, lambda hp: hp.Boolean("wide"))
    (failed,) = search.begin()
    search.study.tell(failed.number, state=TrialState.FAIL)
    search.run(100)
    tried = {t.params["wide"]: t.number for t in search.study.trials if t.value is not None}
    assert len(tried) == len(search.points) == 2
    for trial in search.study.trials[1:]:
        if trial.state == TrialState.FAIL:
            assert trial.user_attrs[chains.REPEATS] == tried[trial.params["wide"]]


def test_a_partly_fixed_sampler_keeps_to_its_part_after_a_repetition():
    def sampler(seed):
        return PartialFixedSampler({"depth": 2}, TPESampler(seed=seed))

    search = Search(sampler, grid_space).run(500)
    assert sorted(search.points) == [(units, 2) for units in GRID["units"]]


def test_what_follows_a_new_configuration_is_left_to_the_sampler_though_it_was_continued():
    trials = [create_trial(state=TrialState.FAIL, user_attrs={chains.REPEATS: 0})] * 3
    trials += [create_trial(state=TrialState.PRUNED, user_attrs={chains.FIRST: 3})]
    for number, trial in enumerate(trials := [copy(trial) for trial in trials]):
        trial.number = number
    own = TPESampler()
    assert random_after_repeats(own, trials, 4, seed=0) is own
    assert isinstance(random_after_repeats(own, trials, 3, seed=0), RandomSampler)


@pytest.mark.parametrize("baseline", [{"units": 8, "depth": 1}, {}])
def test_a_baseline_may_repeat_another_one(baseline):
    search = Search(RandomSampler, grid_space, baselines=[baseline, baseline])
    for _ in range(2):
        search.end(*search.begin())
    assert len(search.points) == 2


def test_trials_without_parameters_differ_in_their_seeds_and_all_are_trained():
    assert len(Search(TPESampler, lambda hp: None).run(30).points) == 30


# A sequence


SCRAMBLED = partial(QMCSampler, scramble=True, warn_independent_sampling=False)


def test_scrambled_points_are_one_sequence_over_all_trials():
    points = Search(SCRAMBLED, square).run(65).points[1:]  # the first is outside of it
    one = optuna.create_study(sampler=SCRAMBLED(seed=1))
    one.optimize(lambda trial: len(square(TrialHyperParameters(trial))), 65)
    wanted = [tuple(trial.params.values()) for trial in one.trials[1:]]
    independent = np.random.default_rng(0).random((64, 2))
    assert qmc.discrepancy(points) < 2 * qmc.discrepancy(wanted)
    assert qmc.discrepancy(points) < qmc.discrepancy(independent) / 4


def test_what_is_outside_of_a_sequence_differs_from_trial_to_trial():
    def space(hp):
        square(hp)
        if hp.Choice("kind", ["a", "b"]) == "b":
            hp.Float("rate", 0, 1)

    baselines = [{"kind": "a"}]
    search = Search(SCRAMBLED, space, baselines=baselines).run(20)
    rates = [trial.params["rate"] for trial in search.study.trials if "rate" in trial.params]
    assert len(set(rates)) == len(rates) > 2


def test_a_sequence_with_fixed_parameters_is_one_too():
    def sampler(seed):
        return PartialFixedSampler({"kind": "a"}, SCRAMBLED(seed=seed))

    def space(hp):
        square(hp)
        hp.Choice("kind", ["a", "b"])

    points = [(x, y) for x, y, _ in Search(sampler, space).run(65).points[1:]]
    independent = np.random.default_rng(0).random((64, 2))
    assert qmc.discrepancy(points) < qmc.discrepancy(independent) / 4


# Constraints


def test_a_constraints_function_that_raises_stops_the_search_in_one_line():
    def narrow(trial):
        raise KeyError("width")

    search = Search(partial(TPESampler, constraints_func=narrow), square)
    (trial,) = search.begin()
    with pytest.raises(UserError, match="the sampler failed after a trial: KeyError: 'width'"):
        search.end(trial)
