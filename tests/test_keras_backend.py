"""Which backends of Keras are refused, before anything imports Keras."""

import sys

import pytest
from projects import here

from mnist_cnn.errors import UserError
from mnist_cnn.keras_backend import check_backend


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """The file of Keras's settings, which does not exist yet."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    return tmp_path / "keras.json"


@pytest.mark.parametrize("backend", ["torch", "openvino", "Tensorflow"])
def test_a_backend_that_is_not_supported_is_refused_by_the_name_of_its_variable(
    settings, monkeypatch, backend
):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    with pytest.raises(UserError) as refusal:
        check_backend()
    assert str(refusal.value) == (
        f"KERAS_BACKEND is '{backend}'; valid: tensorflow, jax; type KERAS_BACKEND=tensorflow "
        f"before the command, or unset it, and {settings} decides"
    )


def test_a_backend_of_the_settings_is_refused_by_the_name_of_their_file(settings, monkeypatch):
    settings.write_text('{"backend": "torch"}')
    with pytest.raises(UserError) as refusal:
        check_backend()
    assert str(refusal.value) == (
        f'{settings} says "backend": "torch"; valid: tensorflow, jax; type '
        "KERAS_BACKEND=tensorflow before the command"
    )
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")  # the variable decides
    check_backend()


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", "smoke"),
        ("promote", "smoke"),
        ("evaluate", "--model", "champion", "--data", "digits"),
        ("predict", "picture.png"),
        ("serve",),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_that_needs_keras_refuses_it_before_anything_starts(project, arguments):
    done = here(*arguments, cwd=project, KERAS_BACKEND="torch")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("mnist-cnn: KERAS_BACKEND is 'torch'; valid: tensorflow, jax; ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("text", ['{"backend": "tensorflow"}', "{}", "[]", "not JSON", ""])
def test_tensorflow_is_the_default(settings, monkeypatch, text):
    check_backend()
    settings.write_text(text)
    check_backend()
    monkeypatch.setenv("KERAS_BACKEND", "")  # Keras takes that for no variable
    check_backend()


def test_a_backend_that_is_not_installed_is_refused_with_what_to_type(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", None)
    settings.write_text('{"backend": "jax"}')
    with pytest.raises(UserError, match=r"which is not installed; .* -r requirements-jax\.lock`"):
        check_backend()
