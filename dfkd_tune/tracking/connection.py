"""Connect to MLflow: check that a store can be reached, and open a client."""

from __future__ import annotations

import http.client
import logging
import os
import sqlite3
import threading
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from dfkd_tune.compat.mlflow import is_mlflows, use_tracking_uri
from dfkd_tune.errors import StorageError, TrackingError
from dfkd_tune.locations import sqlite_files
from dfkd_tune.locations.addresses import SERVERS
from dfkd_tune.locations.paths import (
    absolute,
    for_reading_alone,
    sqlite_file,
    sqlite_url,
    tracking_url,
    without_credentials,
    writable,
)
from dfkd_tune.tracking import tags as tag
from dfkd_tune.utils.waits import telling

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

LOG = logging.getLogger(__name__)
CONNECT_TIMEOUT_S = 3.0
"""Seconds for a tracking server or database to respond before the first trial."""
TIMEOUT = 10
"""Seconds for a server to respond to one request."""
TIMEOUTS = {"postgresql": "connect_timeout", "mysql": "connect_timeout", "mssql": "timeout"}
"""Database -> the driver argument that limits the seconds of a connection attempt."""
DAMAGED = (
    "put a copy of it back, or move it away: dfkd-tune sync NAME makes the runs of a study again, not registered models"
)
"""Remedy for a broken MLflow database."""


def _is_mlflows(tables: set[str]) -> bool:
    """Whether a database with these tables is MLflow's, also if its creation was cut short."""
    if "experiments" in tables:
        return True
    import mlflow.store.tracking.dbmodels.models  # noqa: F401  # declares the tables
    from mlflow.store.db.base_sql_model import Base

    return Base.metadata.sorted_tables[0].name in tables  # MLflow creates it first


def preflight(uri: str, write: bool = True) -> None:
    """Check before any trial that MLflow can be reached.

    Args:
        uri: MLflow tracking URI.
        write: whether write access is needed.

    Raises:
        TrackingError: within a few seconds, if not; the message names the address without credentials.
    """
    uri = tracking_url(uri)
    shown, file = without_credentials(uri), sqlite_file(uri)
    scheme = urllib.parse.urlsplit(uri).scheme
    if file is not None:
        sqlite_files.check(uri, TrackingError, DAMAGED, _is_mlflows)
        if not write:
            return
        try:
            writable(file.parent)
        except StorageError as error:
            raise TrackingError(error.place, error.rule, remedy=error.remedy) from None
        if for_reading_alone(uri):
            raise TrackingError(
                file, "cannot be written", remedy="run as a user with write access, or give another --tracking-uri"
            )
    elif scheme in SERVERS:
        _ask(uri, shown)
    elif scheme.partition("+")[0] in TIMEOUTS:
        _connect(uri, shown)


def _ask(uri: str, shown: str) -> None:
    """Check that a server is healthy."""
    try:
        request = urllib.request.Request(uri.rstrip("/") + "/health")
        host = urllib.parse.urlsplit(uri)
        if "@" in host.netloc:
            request.full_url = host._replace(netloc=host.netloc.rpartition("@")[2]).geturl().rstrip("/") + "/health"
        with urllib.request.urlopen(request, timeout=CONNECT_TIMEOUT_S) as answer:
            answer.read(64)
    except urllib.error.HTTPError as error:
        if error.code not in (401, 403, 404):  # a gateway may hide /health; later requests show errors
            raise TrackingError(
                shown, f"the MLflow server answered {error.code}", remedy="wait until it has started, or check its log"
            ) from None
    except (http.client.InvalidURL, ValueError):  # the message might contain part of a password
        raise TrackingError(shown, "is not a valid address", remedy="write http://host:port") from None
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        reason = getattr(error, "reason", error)
        raise TrackingError(
            shown,
            f"no MLflow server answers ({reason})",
            remedy="start it, or wait until it has started, or give another --tracking-uri",
        ) from None


def _connect(uri: str, shown: str) -> None:
    """Connect to a database once, because MLflow would retry for minutes."""
    import sqlalchemy
    from sqlalchemy.exc import SQLAlchemyError

    url = sqlalchemy.make_url(uri)
    limit = TIMEOUTS[url.get_backend_name()]
    options = {} if limit in url.query else {"connect_args": {limit: round(CONNECT_TIMEOUT_S)}}
    try:
        sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, **options).connect().close()
    except SQLAlchemyError as error:
        reason = without_credentials(line(getattr(error, "orig", error)))
        raise TrackingError(
            shown, f"no database answers ({reason})", remedy="start it, or give another --tracking-uri"
        ) from None


def open_client(uri: str) -> MlflowClient:
    """An ``MlflowClient`` of a store. Only one process at a time creates a new SQLite store.

    For a read-only SQLite store, the client reads a copy.

    Raises:
        TrackingError: if the store cannot be opened.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it also raises the errors that it logs

    uri = absolute(uri)
    shown = without_credentials(uri)
    if sqlite_file(uri) is not None:
        uri = sqlite_files.readable(uri)
    file = sqlite_file(uri)
    try:
        if file is None or (file.exists() and (file, file.stat().st_ino) in _OPENED):
            return MlflowClient(uri)
        lock = FileLock(f"{file}.lock")
        with telling(LOG, "waiting until another process has opened %s, as long as it lives", file):
            lock.acquire()
        try:
            if not file.exists():
                _make(file)
            client = MlflowClient(uri)
            client.search_experiments(max_results=1)
            with closing(sqlite3.connect(file)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
            _OPENED.add((file, file.stat().st_ino))
            return client
        finally:
            lock.release()
    except (MlflowException, sqlite3.Error, OSError, ImportError) as error:
        raise TrackingError(shown, f"cannot be opened: {without_credentials(line(error))}") from None
    except Exception as error:
        if type(error).__module__.startswith(("sqlalchemy", "alembic")):
            rule = f"cannot be opened: {without_credentials(line(error))}"
            raise TrackingError(shown, rule, remedy=_remedy(file)) from None
        raise


_OPENED: set[tuple[Path, int]] = set()
"""SQLite files that this process has opened, each with its inode."""


def _make(file: Path) -> None:
    """Create an SQLite store with artifacts beside it, unless set otherwise. MLflow's default is the working directory, unquoted.

    MLflow makes its tables in some fifty steps, and cannot go on after a kill between two of them. So the file gets its name at the end.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    part = file.with_name(f"{file.name}.part")
    _discard(part)
    store = SqlAlchemyStore(sqlite_url(part), (file.parent / "artifacts").as_uri())
    store.engine.dispose()  # so that all of it is in the file
    os.replace(part, file)
    _discard(part)


def _discard(part: Path) -> None:
    """Remove an unfinished database, with the journals that SQLite keeps beside it."""
    for ending in ("", "-journal", "-wal", "-shm"):
        Path(f"{part}{ending}").unlink(missing_ok=True)


HOLDING = ("runs", "registered_models")
"""MLflow's tables of what a user would miss."""


def _remedy(file: Path | None) -> str | None:
    """What helps if MLflow cannot open a database: nothing is lost with one that was not finished."""
    tables = None if file is None else sqlite_files.rows_of(file, "SELECT name FROM sqlite_master WHERE type = 'table'")
    if file is None or tables is None:
        return None
    if any(sqlite_files.rows_of(file, f"SELECT 1 FROM {name} LIMIT 1") for (name,) in tables if name in HOLDING):
        return f"run mlflow db upgrade, or {DAMAGED}"
    return "remove the file: it holds no run and no model, and MLflow did not finish making it"


@contextmanager
def guarded(uri: str) -> Iterator[None]:
    """Turn MLflow's exceptions into errors of one line.

    Raises:
        TrackingError: in place of an MLflow exception.
    """
    try:
        yield
    except Exception as error:
        if not is_mlflows(error):
            raise
        raise TrackingError(without_credentials(uri), without_credentials(line(error))) from None


def refuse_foreign(client: MlflowClient, experiment: Experiment) -> None:
    """Refuse an experiment with runs of another program. One without runs counts as new.

    Args:
        client: client of the MLflow store.
        experiment: experiment with the study's name.

    Raises:
        TrackingError: if it has such runs; the message names it.
    """
    from mlflow.entities import ViewType

    def some(wanted: str) -> list[Run]:
        return client.search_runs([experiment.experiment_id], wanted, ViewType.ALL, max_results=2)

    given = os.environ.get("MLFLOW_RUN_ID")  # created by ``mlflow run`` for this process
    found = [run for run in some("") if run.info.run_id != given]
    # Asked last: another process may record the study's first run, with its tags, between the two questions.
    if found and not some(f"tags.`{tag.KIND}` != ''"):
        raise TrackingError(
            f"study {experiment.name!r}",
            "is an experiment in MLflow whose runs dfkd-tune did not make",
            remedy="take another name, or another --tracking-uri",
        )


def line(error: BaseException) -> str:
    """An error as one line: the cause if a request failed, else its first line."""
    first = (str(error).splitlines() or [type(error).__name__])[0]
    request, failed, _ = first.partition(" failed with exception ")
    cause = first.rpartition("(Caused by ")[2].rstrip(")")
    return (f"{request} failed: {cause}" if failed else first)[:300]


@contextmanager
def pointed_at(uri: str) -> Iterator[None]:
    """Set MLflow's global tracking URI: an SQL registry looks up a version's source there, not in its client's store."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    try:
        with use_tracking_uri(uri):
            yield
    finally:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the messages of MLflow and torch.export while a model is written or read."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    loggers = [logging.getLogger(name) for name in ("mlflow", "torch.export", "torch._export", "alembic")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


_LOCK, _DEPTH, _BEFORE = threading.Lock(), [0], {}


@contextmanager
def single_attempt(uri: str) -> Iterator[None]:
    """MLflow requests without retries and with a short timeout. The uploader retries, after checking whether a run was created.

    MLflow reads these settings only from environment variables; the user's values are restored afterwards.
    """
    if urllib.parse.urlsplit(uri).scheme not in SERVERS:
        yield
        return
    with _LOCK:
        if not _DEPTH[0]:
            timeout = os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT", str(TIMEOUT))
            given = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": timeout}
            given["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
            _BEFORE.update({name: os.environ.get(name) for name in given})
            os.environ.update(given)
        _DEPTH[0] += 1
    try:
        yield
    finally:
        with _LOCK:
            _DEPTH[0] -= 1
            if not _DEPTH[0]:
                for name, value in _BEFORE.items():
                    os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


@contextmanager
def reaching(uri: str) -> Iterator[None]:
    """MLflow requests with the timeout ``TIMEOUT``, and exceptions as errors of one line.

    Raises:
        TrackingError: in place of an MLflow exception.
    """
    with single_attempt(uri), guarded(uri):
        yield
