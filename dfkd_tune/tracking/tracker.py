"""``Tracker``: record a study in MLflow. Records are written to the spool and uploaded from there.

A study is an experiment; its parent run is tagged ``dfkd.kind=study``, its child runs ``dfkd.kind=trial`` and so on. Only ``MlflowClient``
with explicit run ids is used, because MLflow's fluent API belongs to the user's code.
"""

from __future__ import annotations

import hashlib
import logging
import shlex
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from dfkd_tune.errors import TrackingError
from dfkd_tune.locations.paths import absolute, optuna_url, spool_folder, store_of, tracking_url, without_credentials
from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.connection import preflight
from dfkd_tune.tracking.outbox import Event, Outbox, OutboxSegment, Record, now, plain
from dfkd_tune.tracking.runs import Runs
from dfkd_tune.tracking.states import RunStatus, State
from dfkd_tune.tracking.tags import RunKind
from dfkd_tune.tracking.uploader import Uploader
from dfkd_tune.utils.provenance import provenance
from dfkd_tune.utils.waits import telling

LOG = logging.getLogger(__name__)
STUDENT = "student/sha256.json"
FLUSH_TIMEOUT_S = 10.0
"""Seconds that a study waits at its end for an MLflow that accepts no records."""


def reachable(uri: str, storage: str, study: str) -> bool:
    """Check that MLflow can be reached, unless a study has records in MLflow: it may go on while MLflow is down.

    Args:
        uri: MLflow tracking URI.
        storage: URL of the study's storage.
        study: its name.

    Returns:
        whether the study has such records.

    Raises:
        TrackingError: within a few seconds, if MLflow cannot be reached.
    """
    known = Outbox(spool_folder(storage, study), storage).known()
    try:
        preflight(uri)
    except TrackingError:
        if not known:
            raise
    return known


def ready(uri: str, storage: str, study: str, hashes: Mapping[str, str]) -> None:
    """Check that MLflow can record a new study.

    Args:
        uri, storage, study: as for ``reachable``.
        hashes: tags that name its teacher and its inputs.

    Raises:
        TrackingError: within a few seconds, if MLflow cannot be reached, or the experiment has runs of another program, or of a study
            with another teacher or other inputs.
    """
    if not reachable(uri, storage, study):
        Runs(absolute(uri), study).refuse_foreign(hashes)


class Tracker:
    """Records one study in MLflow. A record is on disk when a method returns; a thread uploads it.

    Args:
        uri: MLflow tracking URI.
        experiment: name of the experiment, which is the study's name.
        storage: URL of the study's Optuna storage; the spool lies beside it, or beside MLflow's file without a storage.
        known: whether MLflow was reached before for this study, so that it may be down now.

    Raises:
        TrackingError: if MLflow cannot be reached or written, and never was for this study.
        StorageError: if records cannot be written to disk.
    """

    def __init__(self, uri: str, experiment: str, storage: str | None = None, known: bool = False) -> None:
        self.uri, self.experiment = tracking_url(uri), experiment
        self.storage = storage or self.uri
        self._outbox = Outbox(spool_folder(self.storage, experiment), self.storage)
        self._runs = Runs(self.uri, experiment)
        try:
            preflight(self.uri)
            self._runs.connect()
        except TrackingError as error:
            if not self._outbox.known() and not (known and _is_away(self.uri)):
                raise
            LOG.warning("%s; the study goes on, records wait in %s", error, self._outbox.folder)
        self._context = _context_tags()
        self._segment = self._outbox.begin()
        self._open: dict[str, str] = {}
        self._patience = FLUSH_TIMEOUT_S
        self._uploader = Uploader(self._runs, self._segment)
        self._held: list[OutboxSegment] = []
        self._take_up_left()

    def _take_up_left(self) -> None:
        """Upload the records of dead processes, and end their runs."""
        mine = {self._segment.name, *(session.name for session in self._held)}
        for session in self._outbox.sessions():
            if session.name in mine or not session.hold():
                continue
            self._held.append(session)
            for file in session.waiting():
                self._uploader.put(session, file)
            for run in session.unclosed():
                self._uploader.put(session, session.append(interrupted(run)))

    def open_study(self, params: Mapping[str, Any], tags: Mapping[str, Any]) -> None:
        """Start the parent run, or resume an existing one.

        Raises:
            TrackingError: if MLflow rejected it.
        """
        about = {tag.KIND: RunKind.STUDY, tag.STUDY: self.experiment}
        labels = plain(self._context | about | dict(tags))
        self._put(Record(Event.STUDY, at=now(), name=self.experiment, params=plain(params), tags=labels))
        self._uploader.flush()
        self.raise_for_rejected()

    def open_run(
        self,
        key: str,
        kind: RunKind,
        params: Mapping[str, Any],
        tags: Mapping[str, Any] | None = None,
        again: bool = False,
    ) -> None:
        """Start a child run named ``key``, tagged ``dfkd.kind=kind``; ``again`` ends and links the last run of that name."""
        about = {tag.KIND: kind, tag.STUDY: self.experiment, tag.SESSION: self._segment.name}
        labels = plain(self._context | about | dict(tags or {}))
        record = self._open[key] = uuid.uuid4().hex
        self._put(Record(Event.OPEN, record, key, now(), params=plain(params), tags=labels, again=again))

    def close_run(
        self,
        key: str,
        status: RunStatus,
        metrics: Mapping[str, float],
        tags: Mapping[str, Any],
        curve: Sequence[tuple[int, float]] = (),
        files: Mapping[str, bytes] | None = None,
    ) -> str:
        """End a child run. When this returns, its record is safe even if this process dies.

        Args:
            key: name of the run, as in ``open_run``.
            status: FINISHED, KILLED or FAILED.
            metrics: metrics, logged at step 0.
            tags: tags such as ``dfkd.state``.
            curve: points ``(step, rmse)``, logged as ``curve/rmse``.
            files: artifact path -> content.

        Returns:
            The record's id, which is the tag ``dfkd.record`` of the run.

        Raises:
            StorageError: if the record cannot be written to disk.
        """
        values = {name: float(value) for name, value in metrics.items()}
        if files and STUDENT in files:
            tags = {**tags, tag.STUDENT_SHA256: hashlib.sha256(files[STUDENT]).hexdigest()}
        points = [(int(step), float(value)) for step, value in curve]
        about = {"name": key, "at": now(), "status": status, "metrics": values, "tags": plain(tags), "curve": points}
        self._put(Record(Event.CLOSE, self._open[key], **about), files)
        return self._open.pop(key)

    def close_orphan(self, key: str, status: RunStatus, tags: Mapping[str, Any]) -> None:
        """End the latest run named ``key``, whose worker died."""
        self._put(Record(Event.LEFT, name=key, at=now(), status=status, tags=plain(tags)))

    def close_all_running(self) -> None:
        """End every RUNNING child run as KILLED. Call this only if no process works on one."""
        self._put(Record(Event.SWEEP, at=now()))

    def close_study(self, status: RunStatus, metrics: Mapping[str, float], tags: Mapping[str, Any]) -> None:
        """End the parent run and this session; a warning says what could not be uploaded."""
        values = {name: float(value) for name, value in metrics.items()}
        self._put(Record(Event.END, name=self.experiment, at=now(), status=status, metrics=values, tags=plain(tags)))
        self.close()

    def close(self) -> None:
        """End this session."""
        with telling(LOG, "waiting until MLflow has all records, %.0f s after the last that it took", self._patience):
            self._uploader.flush(self._patience)
        self._uploader.stop()
        if (left := self.unshipped()) is not None:
            LOG.warning("%s", left)
        for session in (self._segment, *self._held):
            session.release()

    def flush(self) -> bool:
        """Wait until all records are in MLflow, or MLflow does not respond. Returns whether all are."""
        return self._uploader.flush()

    def settle(self) -> bool:
        """Wait, at most as long as at a study's end, until all records of this machine are in MLflow. Returns whether all are."""
        self._take_up_left()
        with telling(LOG, "waiting until MLflow has all records, %.0f s after the last that it took", self._patience):
            whole = self._uploader.flush(self._patience)
            until = time.monotonic() + self._patience
            while whole and any(session.waiting() for session in self._outbox.sessions()):
                whole = time.monotonic() < until
                time.sleep(0.1)
        if not whole:
            self._patience = 0.0  # wait that long only once
        return whole and not self._uploader.refused

    @property
    def parent(self) -> str | None:
        """Id of the parent run; None before MLflow created it."""
        return self._runs.parent_id

    def raise_for_rejected(self) -> None:
        """Raise ``TrackingError`` if MLflow rejected records since the last call."""
        refused, self._uploader.refused[:] = [*self._uploader.refused], []
        if refused:
            raise TrackingError(
                without_credentials(self.uri), f"{len(refused)} records were refused, the first: {refused[0]}"
            )

    def unshipped(self) -> str | None:
        """One line with the number of missing records and the command that uploads them; None if MLflow has all."""
        waiting, refused = self._uploader.left, len(self._uploader.refused)
        if not waiting and not refused:
            return None
        what = [f"{waiting} records wait in {self._outbox.folder} ({self._uploader.trouble})"] if waiting else []
        what += [f"{refused} records were refused ({self._uploader.refused[0]})"] if refused else []
        return f"not in MLflow yet: {', '.join(what)}; complete it with: {self._command()}"

    def _command(self) -> str:
        words = ["dfkd-tune", "sync", self.experiment]
        if store_of(self.storage) != store_of(optuna_url(None)):
            words += ["--storage", without_credentials(self.storage)]
        if store_of(self.uri) != store_of(tracking_url(None)):
            words += ["--tracking-uri", without_credentials(self.uri)]
        return shlex.join(words)

    def _put(self, record: Record, files: Mapping[str, bytes] | None = None) -> None:
        file = self._segment.append(record, files)
        self._uploader.put(self._segment, file, record)


def _is_away(uri: str) -> bool:
    """Whether MLflow does not respond at all, as opposed to responding with an error."""
    try:
        preflight(uri)
    except TrackingError:
        return True
    return False


def interrupted(run: Record) -> Record:
    """The closing record of a run whose process is dead."""
    return Record(Event.CLOSE, run.run, run.name, now(), State.INTERRUPTED.status, tags={tag.STATE: State.INTERRUPTED})


def _context_tags() -> dict[str, str]:
    """The user, source and git tags of MLflow's fluent API, and versions of packages."""
    from mlflow.tracking.context import registry

    made_with = {tag.VERSIONS: "versions", tag.GIT: "git"}
    found = provenance()
    return dict(registry.resolve_tags()) | {name: found[key] for name, key in made_with.items() if key in found}
