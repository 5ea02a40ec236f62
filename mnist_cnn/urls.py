"""URLs of databases and servers: creates them, parses them, and hides their passwords."""

import re
from pathlib import Path

_USER = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s]*@", re.IGNORECASE)
_SECRET = re.compile(r"([?&][^=&\s]*(?:passw|pwd|secret|token)[^=&\s]*=)[^&\s'\"]*", re.IGNORECASE)


def sqlite_url(file: Path) -> str:
    """Return the URL of a SQLite database. Its path may have any characters."""
    import sqlalchemy

    url = sqlalchemy.URL.create("sqlite", database=str(file.absolute()))
    return url.render_as_string(hide_password=False)


def sqlite_file(url: str) -> Path | None:
    """Return the absolute path of a SQLite database; None if the URL is not of a SQLite file."""
    if not url.startswith("sqlite"):
        return None
    import sqlalchemy

    database = sqlalchemy.make_url(url).database
    return Path(database).absolute() if database else None


def hide_passwords(text: str) -> str:
    """Return a URL, or a text with URLs, without user names, passwords and tokens.

    Every URL that is shown, or stored where others can read it, goes through this function.
    """
    return _SECRET.sub(r"\1***", _USER.sub(r"\1***@", text))
