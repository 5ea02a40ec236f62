"""One search at a time goes on with a study, wherever its storage is shared: it signs the study.

Optuna's storage has no way to write only if nobody wrote since, which is what it takes when two
searches start in the same moment. So the signatures have a table of their own in its database.

On one machine a signature counts as long as its process lives, so that a killed search can be
repeated at once; of another machine, as long as it is renewed, for which the clocks of both have to
agree to a minute.
"""

import functools
import json
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy
from optuna.exceptions import StorageInternalError
from sqlalchemy import Connection

from mnist_cnn.errors import UserError
from mnist_cnn.study.storage import CLAIMS, open_storage
from mnist_cnn.study.study import Study

RENEWED_SECONDS = 15.0
STALE_SECONDS = 90.0


class Overtaken(UserError):
    """Another search goes on with the study: nothing of it is this one's to change any more."""


def claim(study: Study) -> None:
    """Sign the study. Raises UserError if another search that still runs has."""
    while True:
        found = _read(study)
        if holder := _living(found):
            raise UserError(
                f"another search is going on with {study.name} ({holder}); wait for its end or "
                "stop it"
            )
        if _replace(study, found, signature()):
            return


def renew(study: Study) -> None:
    """Sign the study again. Raises Overtaken if another search has signed it since."""
    found = _read(study)
    if not (_is_ours(found) and _replace(study, found, signature())):
        raise Overtaken(
            f"another search went on with {study.name}, since this one was silent for "
            f"{STALE_SECONDS:.0f} s; it has all that was finished, and this one stops"
        )


def release(study: Study) -> None:
    """Leave the study to others, unless one has it already."""
    found = _read(study)
    if _is_ours(found):
        _replace(study, found, "")


def held(study: Study) -> bool:
    """Whether this process has signed the study, and nobody since."""
    return _is_ours(_read(study))


def claimed_by_another(study: Study) -> str:
    """Who else goes on with the study now, in words; "" for nobody."""
    return _living(_read(study))


def signature(process: int | None = None) -> str:
    """What a process (default: this one) writes when it signs now."""
    process = process or os.getpid()
    host, machine, began = socket.gethostname(), _machine(), _began(process)
    signed = {"host": host, "machine": machine, "process": process, "began": began}
    return json.dumps(signed | {"time": time.time()})


@contextmanager
def _database(study: Study) -> Iterator[Connection]:
    """A transaction on the table of signatures."""
    try:
        with open_storage(study.storage).engine.begin() as connection:
            yield connection
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise StorageInternalError("the table of signatures") from error


def _read(study: Study) -> str:
    """The signature on the study; "" if there is none."""
    with _database(study) as connection:
        query = sqlalchemy.select(CLAIMS.c.signature).where(CLAIMS.c.study == study.name)
        return connection.scalar(query) or ""


def _replace(study: Study, found: str, signed: str) -> bool:
    """Write a signature in the place of the one that was found; False if it is no longer there."""
    there = (CLAIMS.c.study == study.name) & (CLAIMS.c.signature == found)
    with _database(study) as connection:
        changed = connection.execute(CLAIMS.update().where(there).values(signature=signed))
        if changed.rowcount or found:
            return changed.rowcount == 1
        try:
            connection.execute(CLAIMS.insert().values(study=study.name, signature=signed))
        except sqlalchemy.exc.IntegrityError:
            return False
        return True


def _is_ours(found: str) -> bool:
    return found != "" and _lasting(found) == _lasting(signature())


def _lasting(found: str) -> dict[str, object]:
    """What of a signature stays while its process lives: a host may get another name."""
    signed = json.loads(found)
    return {name: signed[name] for name in ("machine", "process", "began")}


def _living(found: str) -> str:
    """Who else has signed and still runs, in words; "" for nobody."""
    if not found or _is_ours(found):
        return ""
    signed = json.loads(found)
    holder = f"process {signed['process']} on {signed['host']}"
    if signed["machine"] == _machine():
        return holder if _lasting(found) == _lasting(signature(signed["process"])) else ""
    left = signed["time"] + STALE_SECONDS - time.time()
    # Whoever knows it to be dead, since the machine was started anew, learns how long to wait.
    return f"{holder}, or nobody if it stays silent for {left:.0f} s" if left > 0 else ""


@functools.cache
def _machine() -> str:
    """Where a process number stands for one process: a machine since it started, a container.

    Containers may have the name of their host, and machines made from one image each other's.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux
        return f"{uuid.getnode():x}"


def _began(process: int) -> str:
    """When a process started, to tell it from a later one with its number; "" if it is gone."""
    if Path("/proc/self/stat").exists():
        try:
            facts = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if facts[0] in "ZX" else facts[19]  # dead, though nobody has asked how it ended
    command = ["ps", "-o", "lstart=", "-p", str(process)]
    same = os.environ | {"LC_ALL": "C", "TZ": "UTC0"}  # or two shells read two times
    done = subprocess.run(command, env=same, capture_output=True, text=True, check=False)
    return done.stdout.strip()
