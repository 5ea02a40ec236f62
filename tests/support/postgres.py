"""A PostgreSQL server of its own, with a password, as an ordinary user."""

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
import sqlalchemy

PASSWORD = "correct-horse-battery"
PLACES = ("/usr/local/bin", *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"))))


class Postgres:
    """A server, from `__enter__` to `__exit__`; the test is skipped where there is none."""

    def __enter__(self):
        pytest.importorskip("psycopg")
        search_path = os.pathsep.join((os.environ["PATH"], *PLACES))
        self._pg_ctl, initdb = (shutil.which(n, path=search_path) for n in ("pg_ctl", "initdb"))
        if not self._pg_ctl or not initdb:
            pytest.skip("there is no PostgreSQL here")
        self._folder = Path(tempfile.mkdtemp(prefix="mnist-cnn-postgres-"))
        self._user = "nobody" if os.getuid() == 0 else None  # it refuses to run as root
        password = self._folder / "password"
        password.write_text(PASSWORD)
        if self._user:
            shutil.chown(self._folder, self._user)
            shutil.chown(password, self._user)
        self._data = self._folder / "data"
        given = ["--username", "search", "--pwfile", password, "--auth", "scram-sha-256"]
        self._run(initdb, "--pgdata", self._data, "--no-sync", *given)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.pg_ctl("start")
        self._databases = 0
        return self

    def __exit__(self, *exception):
        self.pg_ctl("stop", "-m", "immediate")
        shutil.rmtree(self._folder)

    def pg_ctl(self, verb, *more):
        """Start, stop or restart it, and wait until that is done."""
        settings = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        options = [] if verb == "stop" else ["-o", settings, "-l", self._folder / "log"]
        self._run(self._pg_ctl, verb, "-D", self._data, "-w", *options, *more)

    def url(self, password=PASSWORD, database="postgres"):
        """The URL of Optuna's storage there."""
        return f"postgresql+psycopg://search:{password}@127.0.0.1:{self.port}/{database}"

    def new_database(self):
        """Make an empty database; returns its URL."""
        self._databases += 1
        name = f"studies_{self._databases}"
        engine = sqlalchemy.create_engine(self.url(), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        engine.dispose()
        return self.url(database=name)

    def _run(self, *command):
        done = subprocess.run(
            command, user=self._user, cwd=self._folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr + done.stdout
