"""The command as a user types it: every mistake is one clear line and nothing is half-written."""

import socket
from importlib.metadata import version

import optuna
import pytest
from PIL import Image
from projects import command, here

from mnist_cnn.cli import main
from mnist_cnn.command_line.parser import make_parser
from mnist_cnn.command_line.verbs import check_folder
from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.evaluation.data import _datasets
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.project.loading import check_experiment
from mnist_cnn.registry import store
from mnist_cnn.study.storage import default_storage, open_storage
from mnist_cnn.training.preflight import check

SPACE = """
import keras

def bad(hp):
    {body}
"""
MODEL = (
    "m = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), "
    "keras.layers.Dense({outputs}, 'softmax')])\n    m.compile('adam', '{loss}')\n    return m"
)
EXPERIMENT = """
from dataclasses import replace
import optuna
from experiments.smoke import experiment as smoke
from mnist_cnn.experiment import Maximize
from search_spaces.bad import bad

experiment = replace(smoke, {changes})
"""


def refuses(done, code, *words):
    """One line on stderr with all the words, the exit code, and no traceback."""
    assert done.returncode == code, done.stderr
    (complaint,) = done.stderr.strip().splitlines()
    for word in words:
        assert word in complaint


def test_help_names_what_there_is(project):
    done = command("--help", cwd=project)
    assert done.returncode == 0 and "promote" in done.stdout
    assert "--timeout" in here("search", "--help", cwd=project).stdout


def test_version_is_printed(project):
    done = here("--version", cwd=project)
    assert done.returncode == 0
    assert done.stdout == f"mnist-cnn {version('mnist-cnn')}\n"


def test_help_of_search_names_what_decides_about_the_cluster(project):
    text = " ".join(here("search", "--help", cwd=project).stdout.split())
    assert "the Ray cluster; default: that of RAY_ADDRESS, else the one of this node" in text


def test_help_of_evaluate_names_the_data_sets(project):
    text = here("evaluate", "--help", cwd=project).stdout
    assert f"({' or '.join(sorted(_datasets()))})" in " ".join(text.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["search", "nope"], ["'nope'", "mnist, ", "resnet, "]),
        (["search", "--trials", "0"], ["--trials", "'0'", "at least 1"]),
        (["search", "--trials", "-1"], ["--trials", "'-1'", "at least 1"]),
        (["search", "--timeout", "abc"], ["--timeout", "'abc'", "seconds"]),
        (["search", "--timeout", "nan"], ["--timeout", "'nan'", "seconds"]),
        (["search", "--workers", "0"], ["--workers", "at least 1"]),
        (["search", "--workers", "ray:0"], ["--workers 'ray:0'", "at least 1", "such as ray:16"]),
        (["search", "--workers", "ray:4,gpu=1"], ["'gpu=1'", "or ray:16,cpus=2,gpus=0.5"]),
        (["search", "--ray-address", "auto"], ["--ray-address", "--workers ray:NUMBER"]),
        (
            ["search", "--workers", "ray:4", "--ray-address", "ray://head:10001"],
            ["ray://head:10001", "on the head node"],
        ),
        (["ui", "--port", "99999"], ["--port", "65535"]),
        (["search", "--experiment", "smoke"], ["--experiment"]),
        (["search", "--data", "gone"], ["there is no file or folder", "gone"]),
        (["promote", "--data", "gone"], ["there is no file or folder", "gone"]),
        (["serve", "--data", ".", "--model-name", "x"], ["--data and --model-name"]),
        (["serve", "--model-name", "x"], ["no registered model 'x'", "make promote"]),
        (["predict", "gone.png"], ["there is no file or folder", "gone.png"]),
        (["fly"], ["'fly'", "search"]),
        ([], ["COMMAND", "mnist-cnn --help"]),
    ],
)
def test_wrong_usage_is_refused_with_the_valid_values(project, arguments, words):
    refuses(here(*arguments, cwd=project), 2, *words)
    assert not list((project / "mlruns").iterdir())


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("my exp", "my_exp"),
        ("it's", "it_s"),
        ("a.b", "a_b"),
        ("$x", "x"),
        ("-x", "x"),
        ("a\nb", "a_b"),
        ("!", "mine"),
    ],
)
def test_an_experiment_whose_name_would_break_commands_is_refused(project, name, valid):
    (project / f"experiments/{name}.py").write_text("")
    with pytest.raises(UsageError) as refusal:
        check_experiment(ExperimentId(name))
    (line,) = str(refusal.value).splitlines()
    assert f"the name {name!r} of a file" in line and f"such as to {valid}.py" in line
    for allowed in (valid, "größe_2-b"):
        (project / f"experiments/{allowed}.py").write_text("")
        check_experiment(ExperimentId(allowed))


@pytest.mark.parametrize(
    "arguments",
    [
        "search",
        "search --data digits.npz",
        "trials",
        "studies",
        "delete mnist-1",
        "promote",
        "rollback",
        "pull",
        "evaluate --model champion --data mnist",
        "predict {model}",
        "replay 1234",
        "sync",
        "ui",
        "dashboard",
        "serve",
        "serve --data .",
    ],
)
def test_outside_a_project_the_command_says_where_to_go(tmp_path, digit_model, arguments):
    (tmp_path / "digits.npz").touch()
    arguments = arguments.format(model=digit_model).split()
    refuses(here(*arguments, cwd=tmp_path), 2, "it is no project", "the folder of your clone")
    assert [path.name for path in tmp_path.iterdir()] == ["digits.npz"]


@pytest.mark.parametrize("arguments", ["studies", "search smoke", "data ."])
def test_in_a_project_with_a_package_of_its_own_another_ones_command_is_refused(project, arguments):
    """As by the environment of the original, after a copy of the project."""
    (project / "mnist_cnn").mkdir()
    (project / "mnist_cnn/__init__.py").touch()
    refuses(here(*arguments.split(), cwd=project), 2, str(project), "type `make setup` here")
    assert list((project / "mlruns").iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    ["data x", "evaluate --model a.keras --data x", "studies --storage sqlite:////tmp/x.db"],
)
def test_what_needs_no_project_runs_anywhere(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    check_folder(make_parser().parse_args(arguments.split()))


def test_a_registry_elsewhere_needs_no_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    check_folder(make_parser().parse_args(["predict", "a.png"]))
    with pytest.raises(UsageError, match="it is no project"):
        check_folder(make_parser().parse_args(["search"]))


def test_outside_a_project_no_test_of_a_file_is_recorded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UsageError, match="it is no project"):
        store.connect()
    assert not list(tmp_path.iterdir())


def test_predict_without_a_search_says_what_to_type(project):
    (project / "mlruns").rmdir()
    Image.new("L", (28, 28)).save(project / "a.png")
    refuses(here("predict", "a.png", cwd=project), 1, "make search EXPERIMENT=mnist")
    assert not (project / "mlruns").exists()


def test_before_the_first_search_a_test_of_a_file_can_be_recorded(project):
    (project / "mlruns").rmdir()
    assert store.connect().search_experiments() != []
    assert (project / "mlruns" / "mlflow.db").exists()


def test_trials_without_a_study_says_what_to_type(project):
    refuses(here("trials", cwd=project), 1, "make search EXPERIMENT=mnist")


@pytest.mark.parametrize(
    ("arguments", "code"), [(["sync"], 0), (["trials"], 1), (["trials", "--study", "mnist-1"], 1)]
)
def test_where_nothing_was_searched_a_question_makes_nothing_and_says_what_to_type(
    project, arguments, code
):
    (project / "mlruns").rmdir()
    done = here(*arguments, cwd=project)
    assert done.returncode == code
    (line,) = (done.stdout + done.stderr).splitlines()
    assert "make search" in line
    assert not (project / "mlruns").exists()


def test_trials_of_an_unknown_experiment_are_refused_with_the_valid_names(project):
    refuses(here("trials", "nope", cwd=project), 2, "nope", "mnist", "smoke")


def test_a_study_where_an_experiment_belongs_is_told_with_what_to_type(project):
    optuna.create_study(storage=open_storage(default_storage()), study_name="mnist-4")
    command = "type `mnist-cnn trials mnist --study mnist-4`"
    refuses(here("trials", "mnist-4", cwd=project), 2, "'mnist-4' is a study", command)
    refuses(here("trials", "mnits-4", cwd=project), 2, "there is no experiment 'mnits-4'")


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ("search mnits", "mnist"),
        ("trials mnist --study mnits-1", "mnist-1"),
        ("delete mnits-1", "mnist-1"),
        ("evaluate --model {model} --data digts", "digits"),
    ],
)
def test_a_name_that_was_probably_meant_is_told(project, digit_model, arguments, meant):
    optuna.create_study(storage=open_storage(default_storage()), study_name="mnist-1")
    arguments = arguments.format(model=digit_model).split()
    refuses(here(*arguments, cwd=project), 2, f"(did you mean {meant!r}?); valid: ")


def test_promote_without_a_search_says_what_to_type(project):
    refuses(here("promote", cwd=project), 1, "make search EXPERIMENT=mnist")


def test_ui_without_runs_says_what_to_type(project):
    refuses(here("ui", cwd=project), 1, "make search")


def test_ui_refuses_a_port_in_use(project):
    (project / "mlruns" / "mlflow.db").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refuses(here("ui", "--port", str(port), cwd=project), 1, f"port {port} is in use")


def test_mlruns_that_cannot_be_written_is_refused(project):
    (project / "mlruns").rmdir()
    (project / "mlruns").write_text("a file, where root could write into any folder")
    refuses(here("search", "smoke", cwd=project), 1, "cannot write", "mlruns")


@pytest.mark.parametrize(
    ("body", "changes", "words"),
    [
        ("return 'a model'", "space=bad", ["str", "compiled keras.Model"]),
        (
            "return keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten()])",
            "space=bad",
            ["not compiled; call `model.compile`"],
        ),
        (
            MODEL.format(outputs=7, loss="sparse_categorical_crossentropy"),
            "space=bad, baseline={}",
            ["model of the space's defaults", "it has 7 outputs, but the data have 10 classes"],
        ),
        (
            MODEL.format(outputs=10, loss="categorical_crossentropy"),
            "space=bad",
            ["one-hot", "'sparse_categorical_crossentropy'"],
        ),
        ("pass", "space=bad", ["returned nothing", "`return model`"]),
        (
            "x = inputs = keras.Input((28, 28, 1))\n"
            "    for _ in range(6):\n"
            "        x = keras.layers.MaxPooling2D(2)(x)\n"
            "    return keras.Model(inputs, x)",
            "space=bad",
            ["MaxPooling2D"],
        ),
        ("pass", "objectives=(Maximize('val_beauty'),)", ["val_beauty", "val_accuracy"]),
        ("pass", "baseline={'blocks': 77}", ["blocks", "77"]),
        ("raise KeyError('x')", "space=bad", ["KeyError"]),
        ("pass", "pruner=optuna.pruners.NopPruner()", ["pruner", "functools.partial"]),
        ("pass", "epoch=3", ["experiments/bad.py", "epoch"]),
    ],
)
def test_an_experiment_that_cannot_work_is_refused(project, body, changes, words):
    write_bad(project, body, changes)
    with pytest.raises(UserError) as refusal:
        check(ExperimentId("bad"))
    (line,) = str(refusal.value).splitlines()
    for word in words:
        assert word in line


def test_code_outside_of_the_project_is_told_as_its_edits_do_not_count(
    project, monkeypatch, tmp_path_factory
):
    file = tmp_path_factory.mktemp("lib") / "flat_blocks.py"
    file.write_text(
        "import keras\n\n\n"
        "def flat(hp):\n"
        "    layers = [keras.layers.Flatten(), keras.layers.Dense(10, 'softmax')]\n"
        "    model = keras.Sequential(layers)\n"
        "    model.compile('adam', 'sparse_categorical_crossentropy', metrics=['accuracy'])\n"
        "    return model\n"
    )
    (project / "experiments/flat.py").write_text(
        "from flat_blocks import flat\n"
        "from mnist_cnn.datasets import digits\n"
        "from mnist_cnn.experiment import Experiment\n\n"
        "experiment = Experiment(space=flat, dataset=digits)\n"
    )
    monkeypatch.syspath_prepend(file.parent)
    assert check(ExperimentId("flat")).warnings == (
        "these files are not in this folder, so an edit of one does not open a new study: "
        f"{file}; move them here",
    )


@pytest.mark.parametrize(
    ("name", "found", "valid"),
    [("image_data_format", "channels_first", "channels_last"), ("floatx", "float16", "float32")],
)
def test_settings_of_keras_with_which_nothing_trains_are_refused(
    project, monkeypatch, name, found, valid
):
    monkeypatch.setattr(f"keras.config.{name}", lambda: found)
    with pytest.raises(UserError, match=f'says "{name}": "{found}"; write "{name}": "{valid}" th'):
        check(ExperimentId("smoke"))


@pytest.mark.parametrize("verb", ["trials", "studies", "delete mnist-1"])
@pytest.mark.parametrize(
    "url",
    ["postgresql://ada:hunter2@127.0.0.1:9/db", "mysql://ada:hunter2@h/db", "pg:/a:hunter2@h"],
)
def test_a_storage_that_cannot_be_opened_is_told_without_its_password(project, verb, url, capfd):
    with pytest.raises(SystemExit) as end:
        main([*verb.split(), "--storage", url])
    out, err = capfd.readouterr()
    assert end.value.code == 2 and len(err.splitlines()) == 1
    assert "cannot open the storage" in err and "hunter2" not in out + err


@pytest.mark.parametrize("arguments", [["ui"], ["sync", "http://ada:hunter2@host"]])
def test_no_message_shows_the_password_of_the_tracking_uri(arguments, monkeypatch, capfd):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:hunter2@host")
    with pytest.raises(SystemExit):
        main(arguments)
    out, err = capfd.readouterr()
    assert not out and "http://***@host" in err and "hunter2" not in err


def test_the_dashboard_needs_a_study_and_makes_no_storage(project):
    refuses(here("dashboard", cwd=project), 1, "no study yet", "make search")
    assert not (project / "mlruns" / "optuna.db").exists()


def test_what_is_refused_has_written_nothing(project):
    write_bad(project, "return keras.Sequential([keras.Input((28, 28, 1))])", "space=bad")
    refuses(here("search", "bad", cwd=project), 1, "not compiled")
    assert not (project / "mlruns" / "optuna.db").exists()
    assert not (project / "mlruns" / "mlflow.db").exists()


def write_bad(project, body, changes):
    (project / "search_spaces" / "bad.py").write_text(SPACE.format(body=body))
    (project / "experiments" / "bad.py").write_text(EXPERIMENT.format(changes=changes))
