"""Where artifacts are, in a project that was moved or copied.

MLflow's database has the absolute URI of each experiment's, run's and model's artifacts, and MLflow
has no command that changes them. It would look for them in the former folder, and write there too:
after a copy into the original.
"""

import sqlite3
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

COLUMNS = (
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def relocate_artifacts(database: sqlite3.Connection, mlruns: Path) -> None:
    """Have MLflow's URIs lead to this project, if the project was elsewhere when they were made.

    Places that a user has chosen stay as they are. A run or a model stays where it is as long as
    its files are in the former folder only.

    Args:
        database: MLflow's database in `mlruns`.
        mlruns: The project's folder mlruns/.
    """
    here = (mlruns.absolute() / "artifacts").as_uri()
    for former in _artifact_folders(database, mlruns.name) - {here}:
        _relocate(database, former, here)


def _artifact_folders(database: sqlite3.Connection, mlruns: str) -> set[str]:
    """Return the URIs of all folders MLRUNS/artifacts for which experiments were made."""
    found = set()
    for name, place in database.execute("SELECT name, artifact_location FROM experiments"):
        own = Path(f"/{mlruns}/artifacts/{name}").as_uri().removeprefix("file://")
        if place and place.endswith(own):
            found.add(place.removesuffix(own) + f"/{mlruns}/artifacts")
    return found


def _relocate(database: sqlite3.Connection, former: str, here: str) -> None:
    def moved(uri: str) -> str:
        return here + uri.removeprefix(former)

    def found(uri: str) -> str:
        return uri if _exists(uri) and not _exists(moved(uri)) else moved(uri)

    database.create_function("moved", 1, moved)
    database.create_function("found", 1, found)
    inside = (len(former) + 1, f"{former}/")
    for table, column in COLUMNS:
        database.execute(
            f"UPDATE {table} SET {column} = found({column}) WHERE substr({column}, 1, ?) = ?",
            inside,
        )
    database.execute(
        "UPDATE experiments SET artifact_location = moved(artifact_location) "
        "WHERE substr(artifact_location, 1, ?) = ?",
        inside,
    )


def _exists(uri: str) -> bool:
    try:
        return Path(url2pathname(urlsplit(uri).path)).exists()
    except OSError:  # the folder of somebody else
        return False
