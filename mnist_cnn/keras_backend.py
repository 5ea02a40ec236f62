"""Keras's backend, known without importing Keras, which fails if its backend is not installed."""

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

from mnist_cnn.errors import UserError

BACKENDS = ("tensorflow", "jax")


def check_backend() -> None:
    """Refuse a backend of Keras with which this package is not tested, or that is not installed.

    Raises:
        UserError: The backend is another one, or its package is missing.
    """
    file = _settings_file()
    named = os.environ.get("KERAS_BACKEND")
    backend = named or _backend_in(file)
    where = f"KERAS_BACKEND is {named!r}" if named else f'{file} says "backend": "{backend}"'
    cure = "type KERAS_BACKEND=tensorflow before the command"
    if named:
        cure += f", or unset it, and {file} decides"
    if backend not in BACKENDS:
        raise UserError(f"{where}; valid: {', '.join(BACKENDS)}; {cure}")
    if importlib.util.find_spec(backend) is None:
        raise UserError(
            f"{where}, which is not installed; type `.venv/bin/uv pip install --python .venv "
            f"--no-deps -r requirements-{backend}.lock`, or else: {cure}"
        )


def _settings_file() -> Path:
    """Return the path of Keras's settings, as Keras finds them."""
    try:
        home = Path.home()
    except RuntimeError:  # a container may run as a user that it does not know
        home = Path("/tmp")
    if not os.access(home, os.W_OK):
        home = Path("/tmp")
    return Path(os.environ.get("KERAS_HOME", home / ".keras")).expanduser() / "keras.json"


def _backend_in(file: Path) -> str:
    """Return the backend that Keras's settings name; if they do not, it is TensorFlow."""
    try:
        settings: Any = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):  # Keras ignores it too
        return BACKENDS[0]
    return str(settings.get("backend", BACKENDS[0])) if isinstance(settings, dict) else BACKENDS[0]
