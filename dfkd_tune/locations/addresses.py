"""Addresses of databases, read and written by SQLAlchemy: what a URL means, and which ones Optuna and MLflow are given here."""

from __future__ import annotations

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
"""Of a database whose URL names none: driver -> its module; the first that is installed is taken."""
PACKAGES = {
    "psycopg2": "'dfkd-tune[postgresql]'",
    "psycopg": "'psycopg[binary]'",
    "MySQLdb": "mysqlclient",
    "pymysql": "pymysql",
    "pyodbc": "pyodbc",
}
"""What to install for the module of a driver."""
OPTUNA = ("sqlite", "postgresql", "mysql", "mariadb")
MLFLOW = ("sqlite", "postgresql", "mysql", "mssql")
"""Databases that each keeps its state in."""
SERVERS = ("http", "https")
FILES = (".db", ".sqlite", ".sqlite3", ".db3")
"""How the name of an SQLite file ends."""
DATABASE = "sqlite:///mlruns/optuna.db or postgresql://host/database"
STORE = "sqlite:///mlruns/mlflow.db or the address of a server, http://host:5000"


class Refusal(NamedTuple):
    """Why an address is not taken, and what to write."""

    rule: str
    remedy: str


def parse(text: str) -> URL | None:
    """The URL of a database as SQLAlchemy reads it, its driver named where several would do; None where it is none."""
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
    """The text of a URL, which SQLAlchemy reads as the same one.

    The path of an SQLite file stays legible: only what would be read as something else is quoted.
    """
    if url.get_backend_name() != "sqlite":
        return url.render_as_string(hide_password=False)
    path = (url.database or "").replace("%", "%25").replace("?", "%3F")
    # MLflow makes the folder of a URL that starts with sqlite:/// by its text, quotes and all.
    name = "sqlite" if path == url.database and url.drivername == "sqlite" else "sqlite+pysqlite"
    _, mark, arguments = url.set(database="x").render_as_string(hide_password=False).partition("?")
    return f"{name}:///{path}{mark}{arguments}"


def file_of(url: URL | None) -> Path | None:
    """The file of an SQLite database; None for any other URL, and where it has none."""
    if url is None or url.get_backend_name() != "sqlite" or url.host or not url.database or in_memory(url):
        return None
    return Path(unquote(urlsplit(url.database).path) if _by_uri(url) else url.database)


def in_memory(url: URL) -> bool:
    """Whether an SQLite database lives in memory alone."""
    if not url.database or url.database.startswith((":memory:", "file::memory:")):
        return True
    if not _by_uri(url):
        return False
    return urlsplit(url.database).path in ("", ":memory:") or "memory" in arguments(url, "mode")


def arguments(url: URL, name: str) -> list[str]:
    """What a URL says of an argument of SQLite's own, in its query or in the URI that it holds."""
    given = url.query.get(name, ())
    return [
        *([given] if isinstance(given, str) else given),
        *parse_qs(urlsplit(url.database or "").query).get(name, []),
    ]


def moved(url: URL, file: Path) -> URL:
    """The same URL of an SQLite database in another file."""
    if not _by_uri(url):
        return url.set(database=str(file))
    query = urlsplit(url.database or "").query
    return url.set(database=f"file:{quote(str(file))}{query and '?' + query}")


def _by_uri(url: URL) -> bool:
    flag = str(url.query.get("uri", "")).lower()
    return flag in ("true", "t", "yes", "y", "on", "1") and (url.database or "").startswith("file:")


def refused_storage(text: str) -> Refusal | None:
    """Why Optuna's state cannot be kept at an address; None where it can."""
    url = parse(text)
    if url is None:
        return _no_url(text, DATABASE, "optuna.db")
    name = url.get_backend_name()
    if name in SERVERS or name.startswith("grpc"):
        return Refusal("is a server, and a study is kept in a database", f"write {DATABASE}")
    if name not in OPTUNA:
        return Refusal(f"is no database that a study can be kept in ({name})", f"write {DATABASE}")
    return _unfit(url, "optuna.db")


def refused_tracking(text: str) -> Refusal | None:
    """Why MLflow cannot be told at an address; None where it can."""
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
        return None  # a plugin's
    if url is None:
        return _no_url(text, STORE, "mlflow.db")
    if url.get_backend_name() not in MLFLOW:
        return Refusal(f"is no store of MLflow ({scheme})", f"write {STORE}")
    return _unfit(url, "mlflow.db")


def _no_url(text: str, known: str, file: str) -> Refusal:
    """What to write in place of a path, or of a URL that has a slash too few."""
    from sqlalchemy.engine import URL

    path = text.removeprefix("sqlite:")
    if Path(path).suffix in FILES and "://" not in path:
        return Refusal("is no URL", f"write {write(URL.create('sqlite', database=path))}")
    if ":memory:" in path:
        return Refusal("is in memory, and lost when the command ends", f"write sqlite:///{file}")
    return Refusal("is no URL of a database, and other kinds of stores are not taken", f"write {known}")


def _unfit(url: URL, file: str) -> Refusal | None:
    """What is wrong with the URL of a database of the right kind."""
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
    """What is wrong with a URL's driver, or with what is said to it."""
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
