"""URLs of databases and servers: creates them, parses them, and hides their passwords."""

import re
from pathlib import Path

# To the last @, since a password may have one; with blanks in it, if no port can be meant. A slash
# may have been forgotten. MLflow's `models:/NAME@ALIAS` has an @ and no user.
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
    # MLflow makes the folder that a `sqlite:///` URL names, with the characters that are quoted in
    # it still quoted. Of a URL that names the driver, too, it makes none.
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
