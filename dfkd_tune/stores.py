"""MLflow's stores: whether one can be reached, and a client of it."""

from __future__ import annotations

import http.client
import logging
import os
import socket
import sqlite3
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from filelock import FileLock

from .errors import StorageError, TrackingError
from .places import absolute, sqlite_file, without_credentials, writable

PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
PATIENCE = 3.0
"""Seconds a tracking server has to answer before the first trial."""


def preflight(uri: str) -> None:
    """Make sure that MLflow can be reached and written, before any trial.

    Raises:
        TrackingError: within a few seconds, naming the address without credentials.
    """
    shown, file = without_credentials(uri), sqlite_file(uri)
    if file is not None:
        try:
            writable(file.parent)
        except StorageError as error:
            raise TrackingError(error.place, error.rule, remedy=error.remedy) from None
        return
    scheme = urllib.parse.urlsplit(uri).scheme
    if scheme in ("http", "https"):
        try:
            request = urllib.request.Request(uri.rstrip("/") + "/health")
            host = urllib.parse.urlsplit(uri)
            if "@" in host.netloc:
                request.full_url = host._replace(netloc=host.netloc.rpartition("@")[2]).geturl().rstrip("/") + "/health"
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                answer.read(64)
        except urllib.error.HTTPError as error:
            if error.code not in (401, 403, 404):  # a gateway may hide /health; MLflow itself will tell the rest
                raise TrackingError(shown, f"the MLflow server answered {error.code}", remedy="check its log") from None
        except (http.client.InvalidURL, ValueError):  # what is wrong may be a part of a password
            raise TrackingError(shown, "is no address", remedy="write http://host:port") from None
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", error)
            raise TrackingError(
                shown, f"no MLflow server answers ({reason})", remedy="start it, or give another --tracking-uri"
            ) from None
    elif scheme in ("", "file"):
        raise TrackingError(
            shown,
            "MLflow no longer takes a directory of files",
            remedy="give sqlite:///path/mlflow.db or a server's address",
        )
    elif (address := _address(uri)) is not None:
        try:
            socket.create_connection(address, timeout=PATIENCE).close()
        except OSError as error:
            raise TrackingError(
                shown, f"no database answers ({error})", remedy="start it, or give another --tracking-uri"
            ) from None


def _address(uri: str) -> tuple[str, int] | None:
    """Host and port of a database; None where the URL does not say, or not as the web does."""
    parts = urllib.parse.urlsplit(uri)
    with suppress(ValueError):
        port = parts.port or PORTS.get(parts.scheme.partition("+")[0])
        return (parts.hostname, port) if parts.hostname and port else None
    return None


def client(uri: str):
    """An ``MlflowClient`` of a store that is ready for use; a fresh SQLite store is made by one process at a time.

    Raises:
        TrackingError: when the store cannot be opened.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    for chatty in ("mlflow.store.db.utils", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)

    file = sqlite_file(uri)
    try:
        if file is None:
            return MlflowClient(absolute(uri))
        with FileLock(f"{file}.lock"):
            made = MlflowClient(uri)
            made.search_experiments(max_results=1)
            with sqlite3.connect(file) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
            return made
    except (MlflowException, sqlite3.Error, OSError, ImportError) as error:
        reason = without_credentials(line(error))
        raise TrackingError(without_credentials(uri), f"cannot be opened: {reason}") from None
    except Exception as error:
        if type(error).__module__.startswith(("sqlalchemy", "alembic")):
            reason = without_credentials(line(error))
            raise TrackingError(without_credentials(uri), f"cannot be opened: {reason}") from None
        raise


@contextmanager
def guarded(uri: str) -> Iterator[None]:
    """What MLflow will not do, in one line.

    Raises:
        TrackingError: instead of MLflow's own.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise TrackingError(without_credentials(uri), without_credentials(line(error))) from None


def line(error: BaseException) -> str:
    """The first line of what an error says."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


@contextmanager
def pointed_at(uri: str) -> Iterator[None]:
    """An SQL registry looks the source of a version up in MLflow's global store, whatever its client was given."""
    from mlflow.tracking._tracking_service.utils import _use_tracking_uri

    before = os.environ.get("MLFLOW_TRACKING_URI")
    try:
        with _use_tracking_uri(uri):
            yield
    finally:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before


@contextmanager
def quiet() -> Iterator[None]:
    """Without what MLflow and torch.export say while a model is written or read."""
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
