"""The `dashboard` subcommand: serves optuna-dashboard, on this machine only."""

from importlib import import_module
from importlib.util import find_spec

from mnist_cnn.errors import UserError
from mnist_cnn.study.storage import default_storage, exists, open_storage
from mnist_cnn.ui import check_port


def serve_dashboard(storage: str | None, port: int) -> None:
    """Serve optuna-dashboard on 127.0.0.1 until Ctrl-C.

    Args:
        storage: Optuna's storage URL; None for the default.
        port: The port, from 1 to 65535.

    Raises:
        UserError: optuna-dashboard is not installed, the port is in use, or there is no study yet.
    """
    url = storage or default_storage()
    if not exists(url):
        raise UserError("no study yet; type `make search`")
    if find_spec("optuna_dashboard") is None:
        raise UserError("optuna-dashboard is not installed; type `make dashboard`")
    check_port(port, "make dashboard")
    print(f"optuna-dashboard on http://127.0.0.1:{port}  (Ctrl-C stops it)", flush=True)
    import_module("optuna_dashboard").run_server(open_storage(url), host="127.0.0.1", port=port)
