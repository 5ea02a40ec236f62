"""The search process: what it makes of lost workers, with real ones, and when it is finished."""

import io
import math
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState, create_trial
from rich.console import Console
from sqlalchemy.exc import OperationalError
from studies import PLAN
from trial_calls import die_at_once, die_in_the_trial, end_with_nothing_left, never_end

from mnist_cnn.errors import Unreachable, UsageError, UserError
from mnist_cnn.experiment import Confirm, Screen
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.search_process import dispatch, phases
from mnist_cnn.search_process.phases import Search
from mnist_cnn.search_process.progress import CONFIRMING, EXPLORING, REPORT
from mnist_cnn.search_process.request import Request
from mnist_cnn.study.candidates import candidates
from mnist_cnn.study.chains import CONTINUES, FIRST, RUNG
from mnist_cnn.study.opening import open_study
from mnist_cnn.study.proxy import StorageProxy
from mnist_cnn.study.screening import STOPPED
from mnist_cnn.tracking.journal import Journal
from mnist_cnn.workers.local_pool import Workers


@pytest.fixture
def open_search(tmp_path, monkeypatch):
    """Opens a search on one worker. By default its study is the newest one, or new."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlruns").mkdir()

    @contextmanager
    def open_search(plan=PLAN, study=None, trials=None, seconds=None, before=()):
        request = Request(experiment=ExperimentId("tiny"), trials=trials, timeout_seconds=seconds)
        console = Console(file=io.StringIO(), width=100)
        url = f"sqlite:///{tmp_path}/optuna.db"
        with open_study(plan, url, study) as opened, Workers([{}], Path("log")) as workers:
            opened.study.trials.optuna_study.add_trials(before)
            yield Search(opened, request, workers, StorageProxy(url, None), console)

    return open_search


@pytest.fixture
def search(open_search, monkeypatch):
    """Runs the trials of a search; they do what is given."""

    def run(trial, until=lambda study: False):
        monkeypatch.setattr(phases.tasks, "trial", trial)
        with open_search() as one:
            study = one.study
            one.run_on_workers(one._next_trial, lambda: 0.0 if until(study) else math.inf)
            return study

    return run


def test_workers_that_die_before_their_trial_begins_stop_the_search(search, tmp_path):
    with pytest.raises(UserError) as refusal:
        search(die_at_once)
    line = str(refusal.value)
    assert "2 workers in a row ended before their trial began" in line and "SIGKILL" in line
    with open_study(PLAN, f"sqlite:///{tmp_path}/optuna.db") as opened:
        states = [trial.state for trial in opened.study.trials.all()]
        assert states == [TrialState.WAITING]
        assert "deaths" not in opened.study.trials.get(0).user_attrs


def test_a_trial_that_kills_its_worker_twice_is_failed_and_the_others_go_on(search):
    study = search(die_in_the_trial)
    states = [trial.state for trial in study.trials.all()]
    assert states == [TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]
    assert "for the second time" in study.trials.get(0).user_attrs["reason"]


def test_what_runs_at_the_deadline_waits_to_go_on(search):
    study = search(never_end, until=lambda study: Journal(study.folder / "trial-00000").started)
    assert [trial.state for trial in study.trials.all()] == [TrialState.WAITING]
    assert Journal(study.trials.folder(0)).last["event"] == "pause"


def test_what_runs_at_its_own_deadline_waits_while_the_others_go_on(open_search, monkeypatch):
    monkeypatch.setattr(phases.tasks, "trial", never_end)
    with open_search() as one:
        folder = one.study.folder / "trial-00000"

        def ends():
            return 0.0 if Journal(folder).started else math.inf

        monkeypatch.setattr(one, "_last_trial_ends", ends)
        one.run_on_workers(one._next_trial, lambda: math.inf)
        assert [trial.state for trial in one.study.trials.all()] == [TrialState.WAITING]


def test_confirmations_begin_beside_the_last_trials_if_the_time_for_others_is_up(
    open_search, monkeypatch
):
    with open_search(before=[create_trial(value=0.9)]) as one:
        trial = one.study.trials.optuna_study.ask()
        one.dispatch.running[Path("trial")] = one._work(one.study.trials, trial, 1, None, lambda: 0)
        monkeypatch.setattr(one, "_next_trial", lambda: None)
        monkeypatch.setattr(one, "_next_confirmation", lambda: "a confirmation")
        one.wanted_trials = 2  # what follows the running trial comes first
        assert (one._next_work(), one.phase) == (None, EXPLORING)
        one.wanted_trials = 3
        assert (one._next_work(), one.phase) == ("a confirmation", CONFIRMING)
        monkeypatch.setattr(one, "_next_trial", lambda: "a trial that is continued")
        assert one._next_work() == "a trial that is continued"


def test_without_confirmations_the_last_trials_end_too(open_search):
    plan = replace(PLAN, confirm=Confirm(trials=0), timeout_seconds=690.0)
    with open_search(plan, before=[create_trial(value=0.9)]) as one:
        one._begin(CONFIRMING)
        assert list(one._phases()) == [CONFIRMING, REPORT]


class Busy:
    """The workers of a cluster that has no room."""

    idle, count = 0, 1

    def take_remarks(self):
        return ["a worker cannot start: no disk"]

    def wait(self, seconds):
        return []

    def stop(self, keys):
        return []


def test_a_cluster_without_room_is_told_once(open_search, monkeypatch):
    monkeypatch.setattr(dispatch, "WAIT_SECONDS", 0.0)
    ticks = iter([math.inf] * 3)
    with open_search() as one:
        one.dispatch.workers = Busy()
        one.run_on_workers(one._next_trial, lambda: next(ticks, 0.0))
        assert one.console.file.getvalue().count("no worker has started yet") == 1
        assert "a worker cannot start: no disk" in one.console.file.getvalue()


def test_a_time_limit_of_one_command_keeps_the_time_that_the_study_has_used(open_search):
    plan = replace(PLAN, timeout_seconds=690.0)
    with open_search(plan) as one:
        one.study.set_attributes(seconds=600.0)
    with open_search(plan, seconds=60.0) as one:
        assert one.budget.end - one.budget.started == pytest.approx(60)
        one.study.set_attributes(seconds=one.budget.seconds())
    with open_search(plan) as one:
        assert 0 < one.budget.end - one.budget.started <= 90


# The end


FAILED = create_trial(state=TrialState.FAIL)
STOPPED_AT_RUNG = create_trial(
    state=TrialState.PRUNED, intermediate_values={1: 0.5}, user_attrs={STOPPED: {}}
)
FAILED_LATER = create_trial(
    state=TrialState.FAIL, user_attrs={CONTINUES: 0, FIRST: 0, RUNG: 1, STOPPED: {}}
)
WAITING = create_trial(state=TrialState.WAITING)
SCREENED = replace(PLAN, screen=Screen(rungs=(1,)))


@pytest.mark.parametrize(
    ("plan", "before", "left"),
    [
        (PLAN, [FAILED] * 2, True),  # of three
        (PLAN, [FAILED] * 3, False),
        (PLAN, [FAILED] * 3 + [WAITING], True),
        (PLAN, [FAILED] * 2 + [STOPPED_AT_RUNG], False),  # there is nothing to continue it
        (SCREENED, [FAILED] * 2 + [STOPPED_AT_RUNG], True),
        (SCREENED, [STOPPED_AT_RUNG, FAILED, FAILED, FAILED_LATER], False),
    ],
)
def test_a_search_knows_whether_something_is_left(open_search, plan, before, left):
    with open_search(plan, before=before) as one:
        assert one._something_left() == left


def test_if_the_sampler_has_nothing_left_no_trial_begins_now_or_later(search, open_search):
    for _ in range(2):
        study = search(end_with_nothing_left)
        assert len(study.trials.all()) == 1
    with open_search() as one:
        assert one.done < one.wanted_trials and not one._something_left()


def test_an_outage_ends_the_proxy_before_anything_is_mended_and_all_begins_anew(
    open_search, monkeypatch
):
    gone = OSError("no route")
    gone.sqlstate = None  # as psycopg's errors have it
    failures = iter([OperationalError("", None, gone)])
    done, begun = [], []

    def run(take, deadline):
        begun.append(one.phase)
        for failure in failures:
            one.phase = CONFIRMING
            raise StorageInternalError from failure

    with open_search(replace(PLAN, confirm=Confirm(trials=0))) as one:
        monkeypatch.setattr(one, "run_on_workers", run)
        monkeypatch.setattr(one.proxy, "close", lambda: done.append("closed"))
        monkeypatch.setattr(phases, "recover", lambda study: done.append("mended"))
        journal = Journal(one.study.folder)
        assert one._search_to_the_end(journal) is None  # no trial was completed
    assert done == ["closed", "mended"]
    assert begun[:2] == [EXPLORING] * 2


def test_a_proxy_that_cannot_be_started_again_is_waited_for(open_search, monkeypatch):
    done = []

    def serve():
        done.append("tried")
        if len(done) == 1:
            raise Unreachable("the storage cannot be served")
        raise UserError("that is enough")

    monkeypatch.setattr("mnist_cnn.study.outage.FIRST_SECONDS", 0.1)
    with open_search() as one:
        monkeypatch.setattr(one.proxy, "serve", serve)
        with pytest.raises(UserError, match="that is enough"):
            one._search_to_the_end(Journal(one.study.folder))
        shown = one.console.file.getvalue()
        assert "the storage cannot be served; the trial waits, next try in 0 s" in shown
        assert len(one.study.trials.all(TrialState.RUNNING)) == 1
        assert len(one.study.trials.all()) == 1


def test_ctrl_c_in_the_last_delivery_leaves_a_finished_search_with_its_summary(
    open_search, monkeypatch
):
    def interrupted(seconds):
        raise KeyboardInterrupt

    with open_search(before=[create_trial(value=0.9)] * 3) as one:
        monkeypatch.setattr(one, "_search_to_the_end", lambda journal: candidates(one.study)[0])
        monkeypatch.setattr(one.deliverer, "join", interrupted)
        one.run()
        threading.Thread.join(one.deliverer)
        shown = one.console.file.getvalue()
    assert "best of tiny-1: trial 0" in shown and "(stopped by Ctrl-C)" in shown


def test_a_finished_study_is_only_opened_for_more_trials(open_search):
    with open_search(before=[FAILED] * 3) as one:
        one.study.set_attributes(finished=True)
    with (
        pytest.raises(UsageError, match=r"tiny-1 is finished and has 3 trials; .* TRIALS="),
        open_search(study="tiny-1"),
    ):
        pass
    with open_search(study="tiny-1", trials=4) as one:
        assert one._next_trial() is not None
