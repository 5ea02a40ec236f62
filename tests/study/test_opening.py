"""Which study a search opens, and whether the files in its folder belong to it."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import optuna
import pytest
from optuna.distributions import FloatDistribution
from studies import PLAN, ended, started

from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.study.opening import _foreign, open_study
from mnist_cnn.study.storage import open_storage
from mnist_cnn.study.study import BASELINE


@pytest.fixture
def study(storage):
    with open_study(PLAN, storage) as opened:
        return opened.study


def chosen(*arguments):
    """The name of the study that is opened, and the messages that say why."""
    with open_study(*arguments) as opened:
        return opened.study.name, *opened.lines


def test_the_first_study_is_new_and_an_unfinished_one_is_continued(storage):
    assert chosen(PLAN, storage) == ("tiny-1", "new study tiny-1")
    assert chosen(PLAN, storage) == ("tiny-1", "continuing tiny-1")


def test_a_finished_study_is_followed_by_a_new_one_and_continues_by_name(storage, study):
    study.set_attributes(finished=True)
    assert chosen(PLAN, storage)[0] == "tiny-2"
    assert chosen(PLAN, storage, "tiny-1")[0] == "tiny-1"


def test_another_fingerprint_opens_a_new_study_and_says_so(storage, study):
    name, why, new = chosen(replace(PLAN, fingerprint="second"), storage)
    assert (name, new) == ("tiny-2", "new study tiny-2")
    assert "changed since tiny-1" in why
    with pytest.raises(UserError, match="changed since 'tiny-1'"):
        chosen(replace(PLAN, fingerprint="second"), storage, "tiny-1")
    with pytest.raises(UsageError, match="tiny has no study 'tiny-9'; valid: tiny-1, tiny-2"):
        chosen(PLAN, storage, "tiny-9")


def test_a_study_whose_creation_was_interrupted_is_used(storage):
    optuna.create_study(storage=storage, study_name="tiny-1", direction="maximize")
    with open_study(PLAN, storage) as opened:
        assert opened.lines == ("continuing tiny-1",)
        assert opened.study.attributes["fingerprint"] == PLAN.fingerprint


def test_files_of_a_study_that_optuna_no_longer_has_are_left_alone(storage, tmp_path):
    """The database was deleted, so the journals in the folder belong to other trials."""
    ended(tmp_path / "mlruns/checkpoints/tiny-3/trial-00000", "COMPLETE", values=[0.5])
    assert chosen(PLAN, storage)[0] == "tiny-4"


def test_the_confirmations_of_a_study_are_not_a_study_of_the_experiment(storage, study):
    assert study.confirmations.name == "tiny-1.confirm"
    assert study.confirmations.optuna_study.user_attrs["confirms"] == "tiny-1"
    assert chosen(PLAN, storage) == ("tiny-1", "continuing tiny-1")


def test_the_latest_number_of_trials_counts(study):
    def begun(asked=None, planned=PLAN.trials):
        """Do what a search does at its start."""
        wanted = replace(study, plan=replace(PLAN, trials=planned)).wanted_trials(asked)
        study.set_attributes(trials=wanted, planned=planned)
        return wanted

    assert begun() == 3
    assert begun(planned=8) == 8  # the file was edited
    assert begun(asked=5, planned=8) == 5
    assert begun(planned=8) == 5
    assert begun(planned=9) == 9
    assert begun(planned=2) == 2


def test_every_baseline_is_enqueued_once_wherever_that_was_interrupted(study):
    def queued():
        return [trial.system_attrs["fixed_params"] for trial in study.trials.all()]

    study.enqueue_baselines(1)  # as many as there are to be configurations
    assert queued() == [PLAN.baselines[0]]
    for _ in range(2):
        study.enqueue_baselines(3)
    assert queued() == list(PLAN.baselines)
    assert all(trial.user_attrs == {BASELINE: True} for trial in study.trials.all())


# Whose files


def refused(storage):
    """The message with which the study is refused."""
    with pytest.raises(UserError) as refusal, open_study(PLAN, storage):
        pass
    return str(refusal.value)


def test_files_of_another_study_are_told_without_the_storages_password(study):
    shared = replace(study, storage="postgresql://ada:hunter2@host/db")
    message = str(_foreign(shared, "another id"))
    assert "in postgresql://***@host/db: another id;" in message


def test_somebody_elses_study_of_the_same_name_is_refused(storage, study, tmp_path):
    """Both share a storage, or our database was replaced by another."""
    theirs = f"sqlite:///{tmp_path}/theirs.db"
    optuna.create_study(storage=theirs, study_name="tiny-1", direction="maximize")
    other = optuna.load_study(storage=theirs, study_name="tiny-1")
    other.set_user_attr("fingerprint", PLAN.fingerprint)
    other.set_user_attr("metrics", ["val_accuracy"])
    other.set_user_attr("id", "theirs")
    other.ask()
    ended(study.trials.folder_of(other.trials[0]), "COMPLETE", values=[0.5])
    line = refused(theirs)
    assert study.attributes["id"] in line and "theirs" in line and "tiny-1" in line
    assert other.trials[0].state.name == "RUNNING"


def test_a_study_whose_complete_trials_have_no_files_here_is_refused(storage, study):
    """It was searched in another folder; here it would be confirmed with other values."""
    for state, values in (("FAIL", None), ("COMPLETE", [0.5])):
        number = study.trials.optuna_study.ask().number
        ended(study.trials.folder(number), state, values=values)
        study.trials.tell(number)
    shutil.rmtree(study.folder)
    line = refused(storage)
    assert "trial 1 of tiny-1 is complete" in line and str(study.folder) in line
    assert not study.folder.exists()


def test_a_study_in_which_nothing_is_complete_goes_on_in_another_folder(storage, study):
    started(study.trials.folder(study.trials.optuna_study.ask().number))
    shutil.rmtree(study.folder)
    assert chosen(PLAN, storage) == ("tiny-1", "continuing tiny-1")


def test_files_without_an_id_are_refused(storage, study):
    (study.folder / "study.id").unlink()
    started(study.trials.folder_of(study.trials.optuna_study.ask()))
    assert "none in the folder" in refused(storage)


def test_an_older_database_is_refused_with_the_trial_that_differs(storage, study, tmp_path):
    database, older = tmp_path / "optuna.db", tmp_path / "older.db"
    first = study.trials.optuna_study.ask({"width": FloatDistribution(0.0, 9.0)})
    started(study.trials.folder(0), sampled=first.params)
    copy_database(database, older)
    with open_study(PLAN, storage) as opened:
        again = opened.study.trials.optuna_study
        second = again.ask({"width": FloatDistribution(0.0, 9.0)})
        started(study.trials.folder(0).with_name("trial-00001"), sampled=second.params)
    copy_database(older, database)
    line = refused(storage)
    here = f"width={second.params['width']!r}"
    assert f"trial 1 has no width in the database and {here} in the folder" in line


def copy_database(source, target):
    with closing(sqlite3.connect(source)) as whole, closing(sqlite3.connect(target)) as copy:
        whole.backup(copy)


def test_a_storage_without_a_lock_is_refused():
    with pytest.raises(UsageError, match="mysql is not one of sqlite and postgresql"):
        open_storage("mysql://localhost/studies")
