"""The `ui` subcommand: serves the MLflow UI for mlruns/, on this machine only."""

import errno
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import webbrowser
from contextlib import closing, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from mnist_cnn.errors import UserError
from mnist_cnn.mlruns import MLRUNS
from mnist_cnn.tracking.relocation import relocate_artifacts
from mnist_cnn.urls import hide_passwords, sqlite_url

SETTINGS = {
    # The job runner starts eight more processes, for features that have no use here.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # A line for each request would hide the addresses of the views.
    "MLFLOW_UVICORN_OPTS": "--log-level warning",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "PYTHONWARNINGS": "ignore",
}


def serve_ui(port: int) -> None:
    """Serve the MLflow UI on 127.0.0.1 until it is interrupted; open the newest study in a browser.

    Args:
        port: The port, from 1 to 65535.

    Raises:
        UserError: The port cannot be used, there are no runs yet, or MLFLOW_TRACKING_URI names a
            server.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if uri.startswith("http"):
        raise UserError(
            f"MLFLOW_TRACKING_URI names a server; open {hide_passwords(uri)} in a browser"
        )
    database = MLRUNS.absolute() / "mlflow.db"
    if not uri and not database.exists():
        raise UserError(f"there are no runs in {MLRUNS.absolute()} yet; type `make search` first")
    check_port(port, "make ui")
    if not uri:
        _relocate(database)
    address = f"http://127.0.0.1:{port}"
    print(f"MLflow on {address}  (Ctrl-C stops it)", flush=True)
    # The URI may have a password, and everybody on this machine can see a command's arguments.
    store = {"MLFLOW_BACKEND_STORE_URI": uri or sqlite_url(database)}
    environment = os.environ | SETTINGS | store
    _leave_out_proxy()
    # MLflow's process ends at a signal without the one that it has started, which serves. In a
    # session of their own both are ended together, and Ctrl-C reaches this process alone.
    with subprocess.Popen(_command(port), env=environment, start_new_session=True) as server:
        try:
            if _answers(server, address):
                _show_newest_study(address)
            server.wait()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
    if server.returncode:
        raise UserError(f"MLflow's server ended with exit code {server.returncode}")


def _relocate(database: Path) -> None:
    """Have MLflow find the artifacts of a project that was moved or copied."""
    try:
        with closing(sqlite3.connect(database)) as opened, opened:
            relocate_artifacts(opened, MLRUNS)
    except sqlite3.Error as error:
        raise UserError(f"{database} cannot be used: {error}") from None


def check_port(port: int, command: str) -> None:
    """Refuse a port that is in use, or that this user may not use.

    Args:
        port: The port.
        command: The command to type for another port, without the port.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            problem = "is in use"
            if error.errno != errno.EADDRINUSE:
                problem = f"cannot be used ({error.strerror})"
            other = port + 1 if 1024 <= port < 65535 else 5001
            raise UserError(
                f"port {port} {problem}; choose another, such as `{command} PORT={other}`"
            ) from None


def _leave_out_proxy() -> None:
    """Have this process reach this machine itself, also where others are reached by a proxy."""
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    os.environ["no_proxy"] = f"{known},127.0.0.1" if known else "127.0.0.1"


def _command(port: int) -> list[str]:
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1"]
    command += ["--port", str(port)]
    return [*command, "--default-artifact-root", (MLRUNS.absolute() / "artifacts").as_uri()]


def _answers(server: "subprocess.Popen[bytes]", address: str) -> bool:
    """Wait until the server answers. Return False if it ends before."""
    while server.poll() is None:
        try:
            with urlopen(f"{address}/health", timeout=5):
                return True
        except (URLError, OSError):
            time.sleep(0.2)
    return False


def _show_newest_study(server: str) -> None:
    """Print the addresses of its views, and open the first where there is a browser."""
    from mlflow import MlflowClient  # takes seconds to import

    from mnist_cnn.tracking import tags, views

    client = MlflowClient(server)
    experiments = {found.experiment_id: found for found in client.search_experiments()}
    newest = client.search_runs(list(experiments), f"tags.{tags.KIND} = 'study'", max_results=1)
    if not newest:
        return
    study, experiment = newest[0].info.run_name, experiments[newest[0].info.experiment_id]
    found = views.addresses(experiment.experiment_id, study, experiment.tags)
    if not found:  # of an older version
        return
    print(f"{study}:", *views.listed(found, server), sep="\n", flush=True)
    graphical = sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
    if graphical and sys.stdout.isatty():
        webbrowser.open(server + next(iter(found.values())))
