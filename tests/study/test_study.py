"""Which study a search goes on with; and what a kill left, put right at the next start."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.experiment import Confirm, Maximize, Minimize, Screen
from mnist_cnn.mlruns import CHECKPOINT_FILE, MODEL_FILE
from mnist_cnn.plan import Plan
from mnist_cnn.study import lock, outcome
from mnist_cnn.study.opening import open_study
from mnist_cnn.study.recovery import reconcile, reconcile_others
from mnist_cnn.study.screening import LOOKED_AT
from mnist_cnn.study.storage import CLAIMS, open_storage
from mnist_cnn.study.study import LOOKS_KEPT, MODELS_KEPT
from mnist_cnn.tracking.journal import Journal, read

PLAN = Plan(
    name="tiny",
    objectives=(Maximize("val_accuracy"),),
    trials=3,
    timeout_seconds=None,
    trial_timeout_seconds=None,
    epochs=2,
    screen=None,
    confirm=Confirm(trials=0),
    baselines=({"width": 1.0}, {"width": 2.0}),
    description={},
    fingerprint="first",
)
WIDTH = {"width": FloatDistribution(0.0, 9.0)}


@pytest.fixture
def storage(tmp_path, monkeypatch):
    (tmp_path / "mlruns").mkdir()
    monkeypatch.chdir(tmp_path)
    return f"sqlite:///{tmp_path}/optuna.db"


@pytest.fixture
def study(storage):
    return open_study(PLAN, storage, None)[0]


# Which study


def test_the_first_study_is_new_and_an_unfinished_one_is_gone_on_with(storage):
    study, lines = open_study(PLAN, storage, None)
    assert (study.name, lines) == ("tiny-1", ["new study tiny-1"])
    again, lines = open_study(PLAN, storage, None)
    assert (again.name, lines) == ("tiny-1", ["going on with tiny-1"])


def test_a_finished_study_is_followed_by_a_new_one_and_goes_on_by_name(storage, study):
    study.optuna_study.set_user_attr("finished", True)
    assert open_study(PLAN, storage, None)[0].name == "tiny-2"
    assert open_study(PLAN, storage, "tiny-1")[0].name == "tiny-1"


def test_another_fingerprint_opens_a_new_study_and_says_so(storage, study):
    other, lines = open_study(replace(PLAN, fingerprint="second"), storage, None)
    assert other.name == "tiny-2"
    assert "changed since tiny-1" in lines[0] and lines[1] == "new study tiny-2"
    with pytest.raises(UserError, match="changed since 'tiny-1'"):
        open_study(replace(PLAN, fingerprint="second"), storage, "tiny-1")
    with pytest.raises(UsageError, match="there is no study 'tiny-9'; valid: tiny-1, tiny-2"):
        open_study(PLAN, storage, "tiny-9")


def test_a_study_whose_making_was_cut_short_is_used(storage):
    optuna.create_study(storage=storage, study_name="tiny-1", direction="maximize")
    study, lines = open_study(PLAN, storage, None)
    assert (study.name, lines) == ("tiny-1", ["going on with tiny-1"])
    assert study.optuna_study.user_attrs["fingerprint"] == PLAN.fingerprint


def test_files_of_a_study_that_optuna_no_longer_has_are_left_alone(storage, tmp_path):
    """Where its database was deleted; the journals there are of other trials."""
    ended(tmp_path / "mlruns/checkpoints/tiny-3/trial-00000", "COMPLETE", values=[0.5])
    assert open_study(PLAN, storage, None)[0].name == "tiny-4"


def test_the_latest_wish_for_a_number_of_trials_counts(study):
    def begun(asked=None, planned=PLAN.trials):
        """What a search does at its start."""
        wanted = replace(study, plan=replace(PLAN, trials=planned)).wanted_trials(asked)
        study.optuna_study.set_user_attr("trials", wanted)
        study.optuna_study.set_user_attr("planned", planned)
        return wanted

    assert begun() == 3
    assert begun(planned=8) == 8  # the file was edited
    assert begun(asked=5, planned=8) == 5
    assert begun(planned=8) == 5
    assert begun(planned=9) == 9
    assert begun(planned=2) == 2


def test_every_baseline_is_queued_once_whenever_the_queueing_was_cut_short(study):
    study.optuna_study.enqueue_trial(dict(PLAN.baselines[0]))
    for _ in range(2):
        study.enqueue_baselines()
    queued = [trial.system_attrs["fixed_params"] for trial in study.trials()]
    assert queued == list(PLAN.baselines)


# What a kill left


def test_nothing_is_to_be_mended_in_a_study_that_ended_well(study):
    complete(study)
    assert reconcile(study) == []


def test_a_running_trial_goes_back_into_the_queue_with_its_parameters_and_epochs(study):
    trial = study.optuna_study.ask()
    trial.suggest_float("width", 0.0, 9.0)
    trial.report(0.5, 1)
    journal = started(study.trial_folder(0))
    journal.metrics(1, {"val_accuracy": 0.5})
    params = study.trials()[0].params
    assert reconcile(study) == ["trial 0 was interrupted after 1 epochs; it waits to go on"]
    assert events(study.trial_folder(0))[-1] == "pause"
    assert reconcile(study) == []
    again = study.optuna_study.ask()
    assert again.number == 0 and len(study.trials()) == 1
    assert again.params == params and study.trials()[0].intermediate_values == {1: 0.5}


def test_a_trial_that_was_lost_before_it_wrote_anything_goes_back_into_the_queue(study):
    study.optuna_study.ask()
    assert reconcile(study) == ["trial 0 was interrupted after 0 epochs; it waits to go on"]
    assert study.trials()[0].state == TrialState.WAITING
    assert not study.trial_folder(0).exists()


def test_an_end_that_optuna_was_not_told_is_told(study):
    trial = study.optuna_study.ask()
    trial.report(0.75, 1)
    ended(study.trial_folder(0), "COMPLETE", values=[0.75])
    assert reconcile(study) == ["trial 0 had ended; Optuna is told"]
    assert (study.trials()[0].state, study.trials()[0].values) == (TrialState.COMPLETE, [0.75])
    assert reconcile(study) == []


def test_a_failure_that_optuna_was_not_told_is_told_with_its_reason(study):
    study.optuna_study.ask()
    ended(study.trial_folder(0), "FAIL", reason="ValueError: no")
    reconcile(study)
    (trial,) = study.trials()
    assert trial.state == TrialState.FAIL and trial.user_attrs["reason"] == "ValueError: no"


def test_an_end_that_only_optuna_knows_is_written_to_the_run(study):
    """After a power cut the two databases and the journal may be of different moments."""
    started(study.trial_folder(complete(study).number))
    assert reconcile(study) == ["trial 0 is finished; its run is ended"]
    last = Journal(study.trial_folder(0)).last
    assert (last["event"], last["status"], last["values"]) == ("end", "FINISHED", [0.5])
    assert reconcile(study) == []


def test_a_run_left_open_of_a_trial_that_waits_is_paused(study):
    study.optuna_study.enqueue_trial({"width": 1.0})
    started(study.trial_folder(0))
    assert reconcile(study) == ["trial 0 waits to go on; its run is paused"]
    assert events(study.trial_folder(0)) == ["start", "pause"]
    assert reconcile(study) == []


def test_checkpoints_and_halves_of_files_of_finished_trials_are_removed(study):
    number = complete(study).number
    ended(study.trial_folder(number), "COMPLETE", values=[0.5])
    waiting = study.optuna_study.ask().number
    for folder in (study.trial_folder(number), study.trial_folder(waiting)):
        folder.mkdir(exist_ok=True)
        for name in (CHECKPOINT_FILE, "checkpoint.part", MODEL_FILE, "model.part.keras"):
            (folder / name).touch()
    reconcile(study)
    assert files(study.trial_folder(number)) == {MODEL_FILE, "journal.jsonl"}
    assert CHECKPOINT_FILE in files(study.trial_folder(waiting))
    assert reconcile(study) == []


def test_checkpoints_are_kept_of_the_best_looks_that_may_go_on(storage):
    study, _ = open_study(replace(PLAN, screen=Screen(epochs=1, one_of=2)), storage, None)
    for score in range(LOOKS_KEPT + 2):
        trial = study.optuna_study.ask()
        trial.report(score / 10, 1)
        trial.set_user_attr(LOOKED_AT, {})
        study.optuna_study.tell(trial, state=TrialState.PRUNED)
        ended(study.trial_folder(trial.number), "PRUNED")
        (study.trial_folder(trial.number) / CHECKPOINT_FILE).touch()
        study.remove_obsolete_files([trial.number])
    kept = [n for n in range(LOOKS_KEPT + 2) if files(study.trial_folder(n)) >= {CHECKPOINT_FILE}]
    assert kept == list(range(2, LOOKS_KEPT + 2))
    assert reconcile(study) == []


def test_an_older_study_of_several_objectives_is_no_matter_to_one_that_is_screened(storage):
    several = (Maximize("val_accuracy"), Minimize("parameters"))
    older, _ = open_study(replace(PLAN, objectives=several, fingerprint="older"), storage, None)
    ended(older.trial_folder(complete(older, [0.5, 100]).number), "COMPLETE", values=[0.5, 100])
    screened = replace(PLAN, screen=Screen(epochs=1, one_of=2))
    study, _ = open_study(screened, storage, None)
    assert study.name == "tiny-2" and reconcile_others(study) == []


def test_models_are_kept_of_the_best_trials_only(study):
    for score in range(MODELS_KEPT + 2):
        number = complete(study, score / 10).number
        ended(study.trial_folder(number), "COMPLETE", values=[score / 10])
        (study.trial_folder(number) / MODEL_FILE).touch()
    lines = reconcile(study)
    assert [line.split(";")[0] for line in lines] == ["trial 0 is finished", "trial 1 is finished"]
    kept = [n for n in range(MODELS_KEPT + 2) if (study.trial_folder(n) / MODEL_FILE).exists()]
    assert kept == list(range(2, MODELS_KEPT + 2))


def test_confirmations_left_open_are_paused_and_checkpoints_of_ended_ones_removed(study):
    going, gone = (study.folder / f"confirmation-00000-{index}" for index in (0, 1))
    started(going).metrics(1, {"val_accuracy": 0.5})
    ended(gone, "COMPLETE", values=[0.5])
    for folder in (going, gone):
        (folder / CHECKPOINT_FILE).touch()
    assert reconcile(study) == [
        "confirmation-00000-0 was interrupted after 1 epochs; it is paused",
        "confirmation-00000-1 is finished; its checkpoint is removed",
    ]
    assert (going / CHECKPOINT_FILE).exists() and not (gone / CHECKPOINT_FILE).exists()
    assert reconcile(study) == []


def test_a_study_that_is_left_for_another_has_nothing_running(storage, study):
    started(study.folder)
    study.optuna_study.ask()
    started(study.trial_folder(0))
    other, _ = open_study(replace(PLAN, fingerprint="second"), storage, None)
    assert reconcile_others(other) == [
        "tiny-1: trial 0 was interrupted after 0 epochs; it waits to go on",
        "tiny-1: it was interrupted; its run is closed",
    ]
    assert study.trials()[0].state == TrialState.WAITING
    assert events(study.folder)[-1] == events(study.trial_folder(0))[-1] == "pause"
    assert reconcile_others(other) == []


def test_a_trial_that_loses_its_worker_twice_is_failed_with_the_reason(study):
    study.optuna_study.ask()
    study.lost(0, "its process was killed by SIGKILL")
    assert study.trials()[0].state == TrialState.WAITING
    assert study.optuna_study.ask().number == 0
    study.lost(0, "its process was killed by SIGKILL")
    (trial,) = study.trials()
    assert trial.state == TrialState.FAIL and trial.params == {}
    assert trial.user_attrs["reason"] == "its process was killed by SIGKILL, for the second time"
    last = Journal(study.trial_folder(0)).last
    assert last["status"] == "FAILED" and last["tags"]["reason"] == trial.user_attrs["reason"]


def test_a_worker_that_dies_after_its_trial_ended_costs_nothing(study):
    study.optuna_study.ask()
    ended(study.trial_folder(0), "COMPLETE", values=[0.5])
    study.lost(0, "its process was killed by SIGKILL")
    assert study.trials()[0].state == TrialState.COMPLETE


# One search at a time


def test_a_study_that_a_running_search_has_signed_is_refused(study):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        sign_as(study, other.pid)
        with pytest.raises(UserError, match=rf"going on with tiny-1 \(process {other.pid} on "):
            lock.claim(study)
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet asked how
        lock.claim(study)
    assert lock.held(study) and lock.claimed_by_another(study) == ""


def test_another_process_that_has_the_number_of_a_killed_search_holds_nothing(study):
    sign_as(study, os.getppid(), began="1")
    lock.claim(study)
    assert lock.held(study)


@pytest.mark.parametrize(("age", "refused"), [(1, True), (lock.STALE_SECONDS + 1, False)])
def test_a_search_on_another_machine_holds_a_study_while_it_signs(study, age, refused):
    # A container may have the name of its host, and a process there a number that is none here.
    sign_as(study, 2**22 + 1, machine="elsewhere", time=time.time() - age)
    assert bool(lock.claimed_by_another(study)) == refused


def test_a_search_that_another_has_taken_over_finds_out_and_leaves_the_study_alone(study):
    lock.claim(study)
    lock.renew(study)
    sign_as(study, 7, machine="elsewhere")
    with pytest.raises(lock.Overtaken, match="another search went on with tiny-1"):
        lock.renew(study)
    lock.release(study)
    assert "process 7" in lock.claimed_by_another(study)


STARTER = """
import sys, time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from test_study import PLAN
from mnist_cnn.study import lock
from mnist_cnn.errors import UserError
from mnist_cnn.study.opening import open_study

print("ready", flush=True)
for number in range(ROUNDS):
    plan = replace(PLAN, name=f"round{number}")
    moment = float(input())
    time.sleep(max(0.0, moment - time.time()))
    try:
        study, _ = open_study(plan, sys.argv[2], None)
        lock.claim(study)
        print("mine", flush=True)
    except UserError as error:
        print(error, flush=True)
"""


def test_of_searches_that_start_in_the_same_moment_one_gets_the_study(storage, tmp_path):
    """On a storage that one of them has to make, each in a folder of its own."""
    rounds = 3
    program = STARTER.replace("ROUNDS", str(rounds))
    command = [sys.executable, "-c", program, str(Path(__file__).parent), storage]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    folders = [tmp_path / f"machine-{number}" for number in range(5)]
    starters = []
    for folder in folders:
        folder.mkdir()
        starters.append(subprocess.Popen(command, cwd=folder, **pipes))
    try:
        assert [starter.stdout.readline() for starter in starters] == ["ready\n"] * 5
        for number in range(rounds):
            for starter in starters:
                starter.stdin.write(f"{time.time() + 0.2}\n")
                starter.stdin.flush()
            answers = [starter.stdout.readline() for starter in starters]
            (holder,) = (
                s.pid for s, answer in zip(starters, answers, strict=True) if answer == "mine\n"
            )
            others = [answer for answer in answers if answer != "mine\n"]
            words = f"another search is going on with round{number}-1 (process "
            assert all(answer.startswith(words) for answer in others)
            assert all(f"(process {holder} on " in answer for answer in others)
    finally:
        for starter in starters:
            starter.kill()
            starter.communicate()


# What searches write


def sign_as(study, process, **changes):
    signed = json.loads(lock.signature(process)) | changes
    with open_storage(study.storage).engine.begin() as connection:
        connection.execute(CLAIMS.delete())
        connection.execute(CLAIMS.insert().values(study=study.name, signature=json.dumps(signed)))


def started(folder):
    journal = Journal(folder)
    journal.write("start", name="a run", tags={}, params={})
    return journal


def ended(folder, state, values=None, reason=""):
    outcome.write_end(started(folder), state, values=values, reason=reason)


def complete(study, score=0.5):
    trial = study.optuna_study.ask(WIDTH)
    study.optuna_study.tell(trial, score)
    return trial


def events(folder):
    return [event["event"] for event in read(folder)[0]]


def files(folder):
    return {path.name for path in folder.iterdir()}
