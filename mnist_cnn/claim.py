"""One search at a time goes on with a study, wherever its storage is shared: it signs the study.

On one machine a signature counts as long as its process lives, so that a killed search can be
repeated at once; of another machine, as long as it is renewed.
"""

import os
import socket
import time
from pathlib import Path
from typing import Any

from mnist_cnn.errors import UserError
from mnist_cnn.study import Study

ATTRIBUTE = "searched_by"
RENEWED_SECONDS = 15.0
STALE_SECONDS = 90.0


def claim(study: Study) -> None:
    """Sign the study. Raises UserError if another search that still runs has."""
    if holder := claimed_by_another(study):
        raise UserError(
            f"another search is going on with {study.name} ({holder}); wait for its end or stop it"
        )
    renew(study)


def renew(study: Study) -> None:
    """Sign the study again."""
    study.optuna_study.set_user_attr(ATTRIBUTE, {**_signature(os.getpid()), "time": time.time()})


def release(study: Study) -> None:
    """Leave the study to others."""
    study.optuna_study.set_user_attr(ATTRIBUTE, None)


def claimed_by_another(study: Study) -> str:
    """Who else goes on with the study now, in words; "" for nobody."""
    found = study.optuna_study.user_attrs.get(ATTRIBUTE)
    if not found:
        return ""
    host, process = found["host"], found["process"]
    if host != socket.gethostname():
        alive = time.time() - found["time"] < STALE_SECONDS
    else:
        alive = process != os.getpid() and _signature(process)["began"] == found["began"] != ""
    return f"process {process} on {host}" if alive else ""


def _signature(process: int) -> dict[str, Any]:
    try:  # the time of its start tells it from a later process with the same number
        began = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        began = ""
    return {"host": socket.gethostname(), "process": process, "began": began}
