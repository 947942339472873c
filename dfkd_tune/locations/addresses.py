"""Database URLs: parse and write them with SQLAlchemy, and decide which ones Optuna and MLflow can use."""

from __future__ import annotations

import re
import warnings
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

DRIVERS = {
    "postgresql": {"psycopg2": "psycopg2", "psycopg": "psycopg"},
    "mysql": {"mysqldb": "MySQLdb", "pymysql": "pymysql"},
}
"""Database -> driver -> module; if a URL names no driver, the first installed one is used."""
PACKAGES = {
    "psycopg2": "'dfkd-tune[postgresql]'",
    "psycopg": "'psycopg[binary]'",
    "MySQLdb": "mysqlclient",
    "pymysql": "pymysql",
    "pyodbc": "pyodbc",
}
"""Module of a driver -> package to install."""
OPTUNA = ("sqlite", "postgresql", "mysql", "mariadb")
MLFLOW = ("sqlite", "postgresql", "mysql", "mssql")
"""Databases in which Optuna and MLflow can keep their state."""
SERVERS = ("http", "https")
FILES = (".db", ".sqlite", ".sqlite3", ".db3")
"""Suffixes of SQLite files."""
DATABASE = "sqlite:///mlruns/optuna.db or postgresql://host/database"
STORE = "sqlite:///mlruns/mlflow.db or the address of a server, http://host:5000"


PLAIN = re.compile(r"sqlite:///([^?%:\n]+)")
"""The URL of an SQLite file without a character that has a meaning in it."""


class Refusal(NamedTuple):
    """Why a URL is refused, and what to write instead."""

    rule: str
    remedy: str


def plain_file(text: str) -> Path | None:
    """The file of a URL that is ``sqlite:///`` and a path alone; None for any other.

    Such a URL is usable as it is, and SQLAlchemy, whose import takes about as long as Optuna's, is not asked.
    """
    found = PLAIN.fullmatch(text)
    return None if found is None else Path(found[1])


def sqlite_url(file: Path) -> str:
    """The URL of an SQLite file."""
    return _of_path(str(file), "sqlite")


def parse(text: str) -> URL | None:
    """Parse the URL of a database and add a driver if several are possible; None if it is not a URL."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        return None
    name, _, driver = url.drivername.lower().partition("+")
    name = "postgresql" if name == "postgres" else name
    known = DRIVERS.get(name, {})
    if not driver and known:
        driver = next((driver for driver, module in known.items() if find_spec(module)), next(iter(known)))
    return url.set(drivername=f"{name}+{driver}" if driver else name)


def write(url: URL) -> str:
    """Write a URL so that SQLAlchemy parses it as the same URL.

    The path of an SQLite file stays readable: only characters with a special meaning are quoted.
    """
    if url.get_backend_name() != "sqlite":
        return url.render_as_string(hide_password=False)
    _, mark, arguments = url.set(database="x").render_as_string(hide_password=False).partition("?")
    return f"{_of_path(url.database or '', url.drivername)}{mark}{arguments}"


def _of_path(path: str, driver: str) -> str:
    quoted = path.replace("%", "%25").replace("?", "%3F")
    # MLflow creates the folder of a URL that starts with sqlite:/// from its text, without unquoting it.
    name = "sqlite" if quoted == path and driver == "sqlite" else "sqlite+pysqlite"
    return f"{name}:///{quoted}"


def file_of(url: URL | None) -> Path | None:
    """The file of an SQLite database; None for any other URL and for a database in memory."""
    if url is None or url.get_backend_name() != "sqlite" or url.host or not url.database or in_memory(url):
        return None
    return Path(unquote(urlsplit(url.database).path) if _by_uri(url) else url.database)


def in_memory(url: URL) -> bool:
    """Whether an SQLite database exists only in memory."""
    if not url.database or url.database.startswith((":memory:", "file::memory:")):
        return True
    if not _by_uri(url):
        return False
    return urlsplit(url.database).path in ("", ":memory:") or "memory" in arguments(url, "mode")


def arguments(url: URL, name: str) -> list[str]:
    """Values of an SQLite argument in the query of a URL or of the URI inside it."""
    given = url.query.get(name, ())
    return [
        *([given] if isinstance(given, str) else given),
        *parse_qs(urlsplit(url.database or "").query).get(name, []),
    ]


def moved(url: URL, file: Path) -> URL:
    """Return the URL of an SQLite database with another file."""
    if not _by_uri(url):
        return url.set(database=str(file))
    query = urlsplit(url.database or "").query
    return url.set(database=f"file:{quote(str(file))}{query and '?' + query}")


def _by_uri(url: URL) -> bool:
    flag = str(url.query.get("uri", "")).lower()
    return flag in ("true", "t", "yes", "y", "on", "1") and (url.database or "").startswith("file:")


def refused_storage(text: str) -> Refusal | None:
    """Why a URL cannot be Optuna's storage; None if it can."""
    if plain_file(text) is not None:
        return None
    url = parse(text)
    if url is None or text.startswith("file:"):
        return _no_url(text, DATABASE, "optuna.db")
    name = url.get_backend_name()
    if name in SERVERS or name.startswith("grpc"):
        return Refusal("is a server, and a study is kept in a database", f"write {DATABASE}")
    if name not in OPTUNA:
        return Refusal(f"is no database that a study can be kept in ({name})", f"write {DATABASE}")
    return _unquoted(text) or _unfit(url, "optuna.db")


def refused_tracking(text: str) -> Refusal | None:
    """Why a URL cannot be MLflow's tracking URI; None if it can."""
    if plain_file(text) is not None:
        return None
    url, scheme = parse(text), urlsplit(text).scheme.lower()
    if scheme in SERVERS:
        return None
    if text.startswith("databricks"):
        rule = "is Databricks, which is not supported: its experiments are paths of a workspace, a study's is its name"
        return Refusal(rule, f"write {STORE}")
    if text == "uc" or scheme == "uc":
        return Refusal("is Unity Catalog, a registry of models that keeps no runs", f"write {STORE}")
    if (scheme == "file" and "memory" not in text) or (not scheme and not Path(text).suffix and ":" not in text):
        return Refusal("is a directory of files, which MLflow no longer takes", f"write {STORE}")
    if scheme and scheme in {each.name for each in entry_points(group="mlflow.tracking_store")}:
        return None  # the scheme of an MLflow plug-in
    if url is None:
        return _no_url(text, STORE, "mlflow.db")
    if url.get_backend_name() not in MLFLOW:
        return Refusal(f"is no store of MLflow ({scheme})", f"write {STORE}")
    return _unquoted(text) or _unfit(url, "mlflow.db")


def _no_url(text: str, known: str, file: str) -> Refusal:
    """The refusal of a path, or of a URL with too few slashes."""
    from sqlalchemy.engine import URL

    path = _path_in(text)
    if Path(path).suffix in FILES and "://" not in path:
        return Refusal("is no URL", f"write {write(URL.create('sqlite', database=path))}")
    if ":memory:" in path:
        return Refusal("is in memory, and lost when the command ends", f"write sqlite:///{file}")
    return Refusal("is no URL of a database, and other kinds of stores are not taken", f"write {known}")


def _path_in(text: str) -> str:
    """The path that a URL with too few slashes means, without its quoting; a text without a scheme is a path already."""
    path = re.sub(r"^(?:sqlite:(?://(?=file:))?)?(?:file:(?://(?=/))?)?", "", text)
    return path if path == text else unquote(path)


def _unquoted(text: str) -> Refusal | None:
    """The refusal of an SQLite URL with a question mark that starts no argument, and would cut the file's name."""
    _, mark, arguments = text.partition("?")
    if mark and text.startswith("sqlite") and any("=" not in part for part in arguments.split("&")):
        return Refusal("has a '?' without an argument such as timeout=60 after it", "write %3F for a '?' in a name")
    return None


def _unfit(url: URL, file: str) -> Refusal | None:
    """The refusal of a URL of a supported database; None if it is valid."""
    from sqlalchemy.engine import URL

    name = url.get_backend_name()
    if name == "sqlite":
        if url.host:
            path = "/".join(filter(None, (url.host, url.database)))
            return Refusal("names a host, which SQLite has not", f"write {write(URL.create('sqlite', database=path))}")
        if in_memory(url):
            return Refusal("is in memory, and lost when the command ends", f"write sqlite:///{file}")
        if url.drivername not in ("sqlite", "sqlite+pysqlite"):
            return Refusal("names a driver other than Python's own", f"write {write(url.set(drivername='sqlite'))}")
    return _unfit_driver(url)


def _unfit_driver(url: URL) -> Refusal | None:
    """The refusal of a URL because of its driver or the driver's arguments; None if it is valid."""
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SAWarning

    name = url.get_backend_name()
    try:
        dialect = url.get_dialect()
        if dialect.is_async:
            return Refusal(f"names an asynchronous driver ({url.get_driver_name()})", f"write {name}://...")
        made = dialect(dbapi=dialect.import_dbapi())  # pyright: ignore[reportCallIssue]  # the interface leaves __init__ out
        with warnings.catch_warnings():
            warnings.simplefilter("error", SAWarning)
            made.create_connect_args(url)
    except NoSuchModuleError:
        return Refusal(f"names an unknown driver ({url.get_driver_name()})", f"write {name}://...")
    except ImportError as error:
        module = (error.name or url.get_driver_name()).partition(".")[0]
        rule = f"its database driver {module} is not installed"
        return Refusal(rule if error.name else f"{rule} ({error})", f"pip install {PACKAGES.get(module, module)}")
    except (ArgumentError, SAWarning, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0].partition(";")[0].removesuffix(".")
        return Refusal(f"has an argument that its driver does not take: {reason}", "correct what follows the '?'")
    return None
