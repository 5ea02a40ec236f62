"""URLs of databases and servers: creates them, parses them, and hides their passwords."""

import re
from pathlib import Path

# Up to the last @, because a password may contain one, and blanks too unless a port follows the
# colon. One slash may be missing. MLflow's `models:/NAME@ALIAS` has an @ and no user.
_USER = re.compile(
    r"(\b(?!models:)[a-z][a-z0-9+.-]*:/{1,2})(?!/)(?:\S*@|[^\s/:@]*:(?!\d+(?:[/\s?#]|$))[^@\n]*@)",
    re.IGNORECASE,
)
_SECRET = re.compile(
    r"((?:[?&;][^=&;\s]*(?:passw|pwd|secret|token|key)[^=&;\s]*|\bpassword)=)[^&;\s'\"]*",
    re.IGNORECASE,
)


def sqlite_url(file: Path) -> str:
    """Return the URL of a SQLite database. Its path may have any characters."""
    import sqlalchemy

    path = str(file.absolute())
    text = sqlalchemy.URL.create("sqlite", database=path).render_as_string()
    if text.endswith(path):
        return text
    # MLflow creates the folder of a `sqlite:///` URL without unquoting its characters. If the URL
    # names the driver, it creates none.
    return text.replace("sqlite:", "sqlite+pysqlite:", 1)


def sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite database, absolute; None if it has none."""
    if not url.startswith("sqlite"):
        return None
    import sqlalchemy

    parts = sqlalchemy.make_url(url)
    in_memory = parts.database in (None, "", ":memory:") or parts.query.get("mode") == "memory"
    return None if in_memory else Path(str(parts.database)).absolute()


def hide_passwords(text: str) -> str:
    """Return a URL, or a text with URLs, without user names, passwords and tokens.

    Every URL that is shown, or stored where others can read it, goes through this function.
    """
    return _SECRET.sub(r"\1***", _USER.sub(r"\1***@", text))
