"""Which point of a front is promoted, and what is refused."""

import json

import mlflow
import pytest

from mnist_cnn.datasets import mnist
from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.experiment import Experiment, Maximize, Minimize
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.project.fingerprint import describe
from mnist_cnn.promotion.chosen import newest_study, refuse_other_data
from mnist_cnn.promotion.front import Choice, run_of_point
from mnist_cnn.tracking import tags
from search_spaces.tiny import tiny


def point(trial, parameters, accuracy, confirmed=None):
    values = {"parameters": parameters, "val_accuracy": accuracy}
    run = f"a-1/trial-{trial:05d}"
    return {"trial": trial, "values": values, "confirmed": confirmed, "run": run}


# Point 7 is more accurate than 3 on fresh seeds, though not in its first score.
POINTS = [point(1, 900, 0.95), point(3, 4_000, 0.985, 0.98), point(7, 4_500, 0.982, 0.983)]


@pytest.mark.parametrize(
    ("choice", "trial"),
    [
        (Choice(max_parameters=900), 1),
        (Choice(max_parameters=4_499), 3),
        (Choice(max_parameters=100_000), 7),
        (Choice(min_accuracy=0.5), 3),  # 1 is smaller, but was not confirmed
        (Choice(min_accuracy=0.98), 3),
        (Choice(min_accuracy=0.981), 7),
        (Choice(max_parameters=5_000, min_accuracy=0.98), 7),
    ],
)
def test_the_most_accurate_or_the_smallest_that_fits_is_chosen(choice, trial):
    assert choice.point(POINTS)["trial"] == trial


def test_an_accuracy_is_found_as_it_is_shown():
    mean = (0.9886 + 0.9886 + 0.9888) / 3  # is shown as 0.9887
    assert Choice(min_accuracy=0.9887).point([point(1, 900, 0.99, mean)])["trial"] == 1


def test_a_point_may_be_confirmed_by_another_metric_than_the_accuracy():
    confirmed, other = point(1, 900, 0.98) | {"seeds": 2}, point(2, 800, 0.99) | {"seeds": 0}
    assert Choice(min_accuracy=0.9).point([confirmed, other])["trial"] == 1


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice(max_parameters=899), "at most 899 parameters; the smallest has 900"),
        (Choice(min_accuracy=0.99), r"at least 0\.99; the best has 0\.9830"),
        (
            Choice(max_parameters=900, min_accuracy=0.98),
            r"no point of the front of at most 900 parameters has .* 0\.98; the best has 0\.9500",
        ),
    ],
)
def test_what_no_point_is_is_refused_with_what_there_is(choice, message):
    with pytest.raises(UsageError, match=message):
        choice.point(POINTS)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    return mlflow.MlflowClient(f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db")


@pytest.fixture(scope="module")
def experiment(client, tmp_path_factory):
    return client.create_experiment("a", str(tmp_path_factory.mktemp("artifacts")))


def study_run(client, experiment, front):
    """A study's run with a front."""
    kind = {tags.KIND: "study"}
    study = client.create_run(experiment, run_name="a-1", tags=kind)
    if front is not None:
        client.log_text(study.info.run_id, json.dumps({"points": front}), "front.json")
    return study


def test_a_front_is_shown_and_never_guessed_from(client, experiment, tmp_path, capsys):
    study = study_run(client, experiment, POINTS)
    runs = {}
    # The second study is somebody else's, of the same name on the same server.
    for parent in (study.info.run_id, "0" * 32):
        for one in POINTS[1:]:
            own = {tags.JOURNAL: one["run"], tags.PARENT: parent}
            run = client.create_run(experiment, tags=own).info.run_id
            runs.setdefault(one["trial"], run)
    with pytest.raises(UsageError, match=r"a front of 3 points; say which: --run RUN, .*900 to"):
        run_of_point(client, study, Choice(), tmp_path)
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 3 and shown[1].endswith(runs[3])
    assert shown[0].endswith("0.9500, not confirmed, run not in MLflow yet")
    found = run_of_point(client, study, Choice(max_parameters=4_200), tmp_path)
    assert found.info.run_id == runs[3]
    assert "trial 3: 4,000 parameters, validation accuracy 0.9800" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"trial 1 is not in MLflow; type `mnist-cnn sync`, or"):
        run_of_point(client, study, Choice(max_parameters=900), tmp_path)


def test_a_front_of_one_point_is_no_guess_and_other_objectives_are_shown(
    client, experiment, tmp_path, capsys
):
    one = point(2, 900, 0.95)
    one["values"]["train_seconds"] = 1.25
    study = study_run(client, experiment, [one])
    own = {tags.JOURNAL: one["run"], tags.PARENT: study.info.run_id}
    run = client.create_run(experiment, tags=own)
    assert run_of_point(client, study, Choice(), tmp_path).info.run_id == run.info.run_id
    assert "not confirmed, train_seconds 1.2500, of a-1" in capsys.readouterr().out


def test_a_run_of_other_data_than_named_is_refused(client, tmp_path):
    mine, other = ExperimentId("a", "/data/mine.npz"), ExperimentId("a", "/data/other.npz")
    made = client.create_experiment(mine.name, str(tmp_path / "artifacts"))
    run = client.create_run(made)
    for experiment in (mine, ExperimentId("b", "/data/mine.npz"), ExperimentId("mnist")):
        refuse_other_data(client, run, experiment)
    with pytest.raises(UsageError, match=r"is of a-mine-\w+, not of /data/other.npz; leave out"):
        refuse_other_data(client, run, other)


def test_where_there_is_no_front_there_is_nothing_to_choose(client, experiment, tmp_path):
    study = study_run(client, experiment, None)
    trial = client.create_run(experiment, run_name="trial 3", tags={tags.KIND: "trial"})
    for run in (study, trial):
        assert run_of_point(client, run, Choice(), tmp_path) is run
        with pytest.raises(UsageError, match="has no front, so there is nothing to choose"):
            run_of_point(client, run, Choice(min_accuracy=0.9), tmp_path)


def test_a_study_of_several_objectives_without_a_front_is_not_promoted(
    client, experiment, tmp_path
):
    study = study_run(client, experiment, None)
    objectives = (Maximize("val_accuracy"), Minimize("parameters"))
    for name, text in describe(
        Experiment(space=tiny, dataset=mnist, objectives=objectives)
    ).items():
        client.log_param(study.info.run_id, name, text)
    study = client.get_run(study.info.run_id)
    for choice in (Choice(), Choice(max_parameters=900)):
        with pytest.raises(UserError, match=r"several objectives, .* name a run with --run"):
            run_of_point(client, study, choice, tmp_path)


def test_a_front_without_what_it_is_chosen_by_is_told(client, experiment, tmp_path):
    front = [{"trial": 4, "values": {"val_loss": 0.1}, "confirmed": None, "run": "a-1/trial-4"}]
    with pytest.raises(UserError, match="trial 4 of the front has no val_accuracy; name a run"):
        run_of_point(client, study_run(client, experiment, front), Choice(0, 0.5), tmp_path)


def test_without_a_winner_it_is_said_why(client):
    experiment = client.create_experiment("why")
    asked = ExperimentId("why")

    def study(status):
        run = client.create_run(experiment, tags={tags.KIND: "study"}, run_name=f"why-{status}")
        client.set_terminated(run.info.run_id, status)
        return run.info.run_id

    with pytest.raises(UserError, match="no finished search of 'why' yet; type `make search EX"):
        newest_study(client, asked)
    study("FAILED")
    with pytest.raises(UserError, match="no search of 'why' has found a model to promote; `mnist"):
        newest_study(client, asked)
    run_id = study("FINISHED")
    assert newest_study(client, asked).info.run_id == run_id
    client.delete_run(run_id)
    with pytest.raises(UserError, match=f"was deleted in MLflow; restore it there .run {run_id}"):
        newest_study(client, asked)
