"""MLflow, and nothing else, behind a small protocol.

A study is an experiment; its parent run is tagged ``dfkd.kind=study``, its children ``dfkd.kind=trial``. Only ``MlflowClient`` with
explicit run ids is used: MLflow's fluent state belongs to the user's process.
"""

from __future__ import annotations

import http.client
import logging
import math
import queue
import socket
import sqlite3
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from .errors import StorageError, TrackingError
from .given_run import given_run
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
        except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
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
    """Host and port of a database; None where the URL does not say."""
    parts = urllib.parse.urlsplit(uri)
    port = parts.port or PORTS.get(parts.scheme.partition("+")[0])
    return (parts.hostname, port) if parts.hostname and port else None


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
        reason = without_credentials(_line(error))
        raise TrackingError(without_credentials(uri), f"cannot be opened: {reason}") from None
    except Exception as error:
        if type(error).__module__.startswith(("sqlalchemy", "alembic")):
            reason = without_credentials(_line(error))
            raise TrackingError(without_credentials(uri), f"cannot be opened: {reason}") from None
        raise


class Tracker:
    """The MLflow side of one study. Writes go through one thread in order, off the training thread.

    Args:
        uri: of MLflow.
        experiment: its name, which is the study's.
    """

    def __init__(self, uri: str, experiment: str):
        preflight(uri)
        self.uri, self.experiment = absolute(uri), experiment
        self._client = client(self.uri)
        self.experiment_id = self._guard(self._find_experiment)
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._failures: list[str] = []
        self._runs: dict[str, str] = {}
        self._parent: str | None = None
        self._context = _context_tags()
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def open_study(self, params: Mapping[str, Any], tags: Mapping[str, Any]) -> str:
        """Start the parent run, or take up the one an earlier session left. Returns its id."""
        return self._guard(lambda: self._open_study(params, tags))

    def _open_study(self, params: Mapping[str, Any], tags: Mapping[str, Any]) -> str:
        runs = self._client.search_runs([self.experiment_id], "tags.`dfkd.kind` = 'study'", max_results=1)
        if runs:
            self._parent = runs[0].info.run_id
            self._client.update_run(self._parent, status="RUNNING")
        else:
            adopted = given_run(self._client, self.experiment_id, self.experiment)
            if adopted is None:
                run = self._client.create_run(self.experiment_id, run_name=self.experiment, tags=self._context)
                adopted = run.info.run_id
            self._parent = adopted
            self._log(adopted, params=params, tags={"dfkd.kind": "study", "dfkd.study": self.experiment})
        self._log(self._parent, tags=tags)
        return self._parent

    def sweep(self) -> None:
        """End as KILLED every child run that is RUNNING; for whoever knows that nobody works on one."""

        def end() -> None:
            while left := self._client.search_runs([self.experiment_id], "attributes.status = 'RUNNING'"):
                others = [run.info.run_id for run in left if run.info.run_id != self._parent]
                for run_id in others:
                    self._client.set_terminated(run_id, "KILLED")
                if not others:
                    return

        self._queue.put(end)

    def end_left(self, key: str, status: str, tags: Mapping[str, Any]) -> None:
        """End the latest run called ``key``, whose worker died."""

        def end() -> None:
            run = self._latest(key)
            if run is not None:
                self._log(run.info.run_id, tags=tags)
                self._client.set_terminated(run.info.run_id, status)

        self._queue.put(end)

    def _latest(self, key: str):
        found = self._client.search_runs(
            [self.experiment_id],
            f"attributes.run_name = '{key}'",
            max_results=1,
            order_by=["attributes.start_time DESC"],
        )
        return found[0] if found else None

    def open_run(
        self,
        key: str,
        kind: str,
        params: Mapping[str, Any],
        tags: Mapping[str, Any] | None = None,
        again: bool = False,
    ) -> None:
        """Start a child run called ``key``, tagged ``dfkd.kind=kind``; ``again`` ends and links the run of that name before it."""

        def start() -> None:
            nested = {"mlflow.parentRunId": self._parent} if self._parent else {}
            before = self._latest(key) if again else None
            if before is not None:
                nested["dfkd.requeued_from"] = before.info.run_id
                if before.info.status != "KILLED":  # FINISHED, where its worker died before the study knew of it
                    self._log(before.info.run_id, tags={"dfkd.state": "INTERRUPTED"})
                    self._client.set_terminated(before.info.run_id, "KILLED")
            labels = self._context | nested | {"dfkd.kind": kind, "dfkd.study": self.experiment} | dict(tags or {})
            run = self._client.create_run(self.experiment_id, run_name=key, tags={k: str(v) for k, v in labels.items()})
            self._runs[key] = run.info.run_id
            self._log(run.info.run_id, params=params)

        self._queue.put(start)

    def close_run(
        self,
        key: str,
        status: str,
        metrics: Mapping[str, float],
        tags: Mapping[str, Any],
        curve: Sequence[tuple[int, float]] = (),
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        """End a child run.

        Args:
            key: as it was opened.
            status: FINISHED, KILLED or FAILED.
            metrics: summary values, logged at step 0.
            tags: such as ``dfkd.state``.
            curve: ``(step, rmse)`` points, logged under ``curve/rmse``.
            files: artifact path -> content.
        """

        def end() -> None:
            run_id = self._runs.pop(key)
            self._log(run_id, metrics=metrics, tags=tags, curves={"curve/rmse": curve})
            if files:
                self._write_files(run_id, files)
            self._client.set_terminated(run_id, status)

        self._queue.put(end)

    def close_study(self, status: str, metrics: Mapping[str, float], tags: Mapping[str, Any]) -> None:
        """End the parent run after everything before it was written.

        Raises:
            TrackingError: when writes were refused.
        """
        parent = self._parent
        if parent is not None:
            self._queue.put(lambda: self._log(parent, metrics=metrics, tags=tags))
            self._queue.put(lambda: self._client.set_terminated(parent, status))
        self.settle()

    def flush(self) -> None:
        """Wait until everything so far is written."""
        self._queue.join()

    def settle(self) -> None:
        """Wait, and tell what was refused.

        Raises:
            TrackingError: when writes failed since it was last told.
        """
        self.flush()
        failures, self._failures = self._failures, []
        if failures:
            raise TrackingError(
                without_credentials(self.uri), f"{len(failures)} writes failed, the first: {failures[0]}"
            )

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            try:
                job()
            except Exception as error:
                self._failures.append(without_credentials(_line(error)))
            finally:
                self._queue.task_done()

    def _find_experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(self.experiment)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                self._client.restore_experiment(found.experiment_id)
            return found.experiment_id
        file = sqlite_file(self.uri)
        location = None
        if file is not None:
            location = writable(file.parent / "artifacts" / self.experiment).as_uri()
        try:
            return self._client.create_experiment(self.experiment, artifact_location=location)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return self._client.get_experiment_by_name(self.experiment).experiment_id  # made by another process

    def _log(self, run_id: str, params=None, metrics=None, tags=None, curves=None) -> None:
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        points = [Metric(k, float(v), now, 0) for k, v in (metrics or {}).items()]
        points += [Metric(k, v, now, s) for k, line in (curves or {}).items() for s, v in line if math.isfinite(v)]
        self._client.log_batch(
            run_id,
            metrics=points,
            params=[Param(k, str(v)) for k, v in (params or {}).items()],
            tags=[RunTag(k, str(v)) for k, v in (tags or {}).items()],
        )

    def _write_files(self, run_id: str, files: Mapping[str, bytes]) -> None:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                file = Path(folder) / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            self._client.log_artifacts(run_id, folder)

    def _guard(self, call: Callable[[], Any]) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return call()
        except (MlflowException, StorageError) as error:
            raise TrackingError(without_credentials(self.uri), without_credentials(_line(error))) from None


def _context_tags() -> dict[str, str]:
    """The user, source and git tags that MLflow's fluent runs get."""
    from mlflow.tracking.context import registry

    return dict(registry.resolve_tags())


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
