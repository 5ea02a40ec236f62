"""The verb `ui`: serves MLflow's pages for mlruns/, on this machine only."""

import os
import socket
import subprocess
import sys

from mnist_cnn.errors import UserError
from mnist_cnn.mlruns import MLRUNS
from mnist_cnn.urls import hide_passwords, sqlite_url


def serve_ui(port: int) -> None:
    """Serve MLflow's pages on 127.0.0.1 until Ctrl-C.

    Args:
        port: The port, from 1 to 65535.

    Raises:
        UserError: The port is in use, there are no runs yet, or MLFLOW_TRACKING_URI names a server.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if uri.startswith("http"):
        raise UserError(
            f"MLFLOW_TRACKING_URI names a server; open {hide_passwords(uri)} in a browser"
        )
    database = MLRUNS.absolute() / "mlflow.db"
    if not uri and not database.exists():
        raise UserError(f"there are no runs in {MLRUNS.absolute()} yet; type `make search` first")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise UserError(
                f"port {port} is in use; choose another, such as `make ui PORT={port + 1}`"
            ) from None
    print(f"MLflow on http://127.0.0.1:{port}  (Ctrl-C stops it)", flush=True)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1"]
    command += ["--port", str(port)]
    command += ["--default-artifact-root", (MLRUNS.absolute() / "artifacts").as_uri()]
    settings = {
        # It may have a password, and everybody on this machine sees a command.
        "MLFLOW_BACKEND_STORE_URI": uri or sqlite_url(database),
        # The job runner starts eight more processes, for features that have no use here.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    ended = subprocess.run(command, env=os.environ | settings, check=False)
    if ended.returncode not in (0, -2):
        raise UserError(f"MLflow's server ended with exit code {ended.returncode}")
