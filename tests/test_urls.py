"""URLs: files of any name are found again, and what gives access is never shown."""

import optuna
import pytest
import sqlalchemy

from mnist_cnn.study.storage import open_storage
from mnist_cnn.urls import hide_passwords, sqlite_file, sqlite_url

FOLDERS = ("plain", "what?now", "a b#c", "50%", "größe", "%20", "a&b=c", "x@y:z", "(it's)", ";+")


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_database_is_in_its_folder_and_nothing_beside_it(tmp_path, folder):
    place = tmp_path / folder
    place.mkdir()
    url = sqlite_url(place / "optuna.db")
    assert sqlite_file(url) == place / "optuna.db"
    optuna.create_study(storage=open_storage(url), study_name="here")
    assert (place / "optuna.db").stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir()] == [folder]
    assert hide_passwords(url) == url


def test_a_plain_path_has_the_plain_url(tmp_path):
    assert sqlite_url(tmp_path / "mlflow.db") == f"sqlite:///{tmp_path}/mlflow.db"


@pytest.mark.parametrize("url", ["postgresql://ada@host/db", "http://127.0.0.1:5000", "sqlite://"])
def test_what_is_no_file_has_none(url):
    assert sqlite_file(url) is None


SECRET = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:hunter2@host:5432/db",
        "postgresql+psycopg://ada:hunter2@host/db",
        "postgresql://ada:p@hunter2@host/db",
        "postgresql://ada:p/hunter2@host/db",
        "postgresql://ada:p hunter2@host/db",
        "postgresql://ada:p#?:hunter2@host/db",
        "postgresql://:hunter2@host/db",
        "postgresql://hunter2@host/db",  # a token as the name
        "postgresql://host/db?user=ada&password=hunter2",
        "postgresql://host/db?sslpassword=hunter2&x=1",
        "https://host/path?access_token=hunter2",
        "https://host/path?a=1;api_key=hunter2",
        "HTTPS://ADA:hunter2@host",
        "postgresql:/ada:hunter2@host/db",  # mistyped
    ],
)
def test_what_gives_access_is_hidden_wherever_the_url_stands(url):
    for text in (url, f"cannot open {url!r}: no route", f"({url})\nsecond line {url}"):
        hidden = hide_passwords(text)
        assert SECRET not in hidden and "host" in hidden.lower()
        assert hide_passwords(hidden) == hidden


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:5000/api failed: ask ada@example.org",
        "sqlite:////home/ada/x@y/mlflow.db",
        "trial 3 has max_tokens=64 there and max_tokens=32 here",
        "there is no file a@b",
        "models:/digits@champion names no version",
    ],
)
def test_what_hides_nothing_stays_as_it_is(text):
    assert hide_passwords(text) == text


def test_sqlalchemy_itself_reads_what_was_made(tmp_path):
    made = sqlalchemy.make_url(sqlite_url(tmp_path / "50%?#"))
    assert made.get_backend_name() == "sqlite" and made.database == str(tmp_path / "50%?#")
