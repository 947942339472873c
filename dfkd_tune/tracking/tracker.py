"""What a study tells MLflow, behind a small protocol: written to the spool, shipped from there.

A study is an experiment; its parent run is tagged ``dfkd.kind=study``, its children ``dfkd.kind=trial``. Only ``MlflowClient`` with
explicit run ids is used: MLflow's fluent state belongs to the user's process.
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
"""Seconds that a study waits at its end for an MLflow that takes nothing."""


def ready(uri: str, storage: str, study: str) -> None:
    """Make sure that a new study will be recorded; one that MLflow knows goes on without it.

    Raises:
        TrackingError: within a few seconds, naming the address without credentials; another program made its experiment.
    """
    known = Outbox(spool_folder(storage, study), storage).known()
    try:
        preflight(uri)
    except TrackingError:
        if not known:
            raise
    else:
        if not known:
            Runs(absolute(uri), study).refuse_foreign()


class Tracker:
    """The MLflow side of one study. A record is on disk when a method returns; a thread ships it.

    Args:
        uri: of MLflow.
        experiment: its name, which is the study's.
        storage: URL of the study's state, beside which records wait; beside MLflow's file where there is none.
        known: that it answered others, or a moment ago, so that it may be away now.

    Raises:
        TrackingError: when MLflow cannot be reached or written, and never was for this study.
        StorageError: when records cannot be written.
    """

    def __init__(self, uri: str, experiment: str, storage: str | None = None, known: bool = False) -> None:
        self.uri, self.experiment = tracking_url(uri), experiment
        self.storage = storage or self.uri
        self._spool = Outbox(spool_folder(self.storage, experiment), self.storage)
        self._runs = Runs(self.uri, experiment)
        try:
            preflight(self.uri)
            self._runs.connect()
        except TrackingError as error:
            if not self._spool.known() and not (known and _is_away(self.uri)):
                raise
            LOG.warning("%s; the study goes on, records wait in %s", error, self._spool.folder)
        self._context = _context_tags()
        self._session = self._spool.begin()
        self._open: dict[str, str] = {}
        self._patience = FLUSH_TIMEOUT_S
        self._shipper = Uploader(self._runs, self._session)
        self._held: list[OutboxSegment] = []
        self._take_up_left()

    def _take_up_left(self) -> None:
        """Ship what processes that are gone left, and say what became of their runs."""
        mine = {self._session.name, *(session.name for session in self._held)}
        for session in self._spool.sessions():
            if session.name in mine or not session.hold():
                continue
            self._held.append(session)
            for file in session.waiting():
                self._shipper.put(session, file)
            for run in session.unclosed():
                self._shipper.put(session, session.append(interrupted(run)))

    def open_study(self, params: Mapping[str, Any], tags: Mapping[str, Any]) -> None:
        """Start the parent run, or take up the one an earlier session left.

        Raises:
            TrackingError: when MLflow refused it.
        """
        about = {tag.KIND: RunKind.STUDY, tag.STUDY: self.experiment}
        labels = plain(self._context | about | dict(tags))
        self._put(Record(Event.STUDY, at=now(), name=self.experiment, params=plain(params), tags=labels))
        self._shipper.flush()
        self.raise_for_rejected()

    def open_run(
        self,
        key: str,
        kind: RunKind,
        params: Mapping[str, Any],
        tags: Mapping[str, Any] | None = None,
        again: bool = False,
    ) -> None:
        """Start a child run called ``key``, tagged ``dfkd.kind=kind``; ``again`` ends and links the run of that name before it."""
        about = {tag.KIND: kind, tag.STUDY: self.experiment, tag.SESSION: self._session.name}
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
        """End a child run; when this returns, its record survives whatever becomes of this process.

        Args:
            key: as it was opened.
            status: FINISHED, KILLED or FAILED.
            metrics: summary values, logged at step 0.
            tags: such as ``dfkd.state``.
            curve: ``(step, rmse)`` points, logged under ``curve/rmse``.
            files: artifact path -> content.

        Returns:
            The record's id, which is the tag ``dfkd.record`` of its run.

        Raises:
            StorageError: when it cannot be written.
        """
        values = {name: float(value) for name, value in metrics.items()}
        if files and STUDENT in files:
            tags = {**tags, tag.STUDENT_SHA256: hashlib.sha256(files[STUDENT]).hexdigest()}
        points = [(int(step), float(value)) for step, value in curve]
        about = {"name": key, "at": now(), "status": status, "metrics": values, "tags": plain(tags), "curve": points}
        self._put(Record(Event.CLOSE, self._open[key], **about), files)
        return self._open.pop(key)

    def close_orphan(self, key: str, status: RunStatus, tags: Mapping[str, Any]) -> None:
        """End the latest run called ``key``, whose worker died."""
        self._put(Record(Event.LEFT, name=key, at=now(), status=status, tags=plain(tags)))

    def close_all_running(self) -> None:
        """End as KILLED every child run that is RUNNING; for whoever knows that nobody works on one."""
        self._put(Record(Event.SWEEP, at=now()))

    def close_study(self, status: RunStatus, metrics: Mapping[str, float], tags: Mapping[str, Any]) -> None:
        """End the parent run and this session; what could not be shipped is told in one line."""
        values = {name: float(value) for name, value in metrics.items()}
        self._put(Record(Event.END, name=self.experiment, at=now(), status=status, metrics=values, tags=plain(tags)))
        self.close()

    def close(self) -> None:
        """End this session."""
        with telling(LOG, "waiting until MLflow has all records, %.0f s after the last that it took", self._patience):
            self._shipper.flush(self._patience)
        self._shipper.stop()
        if (left := self.unshipped()) is not None:
            LOG.warning("%s", left)
        for session in (self._session, *self._held):
            session.release()

    def flush(self) -> bool:
        """Wait until everything so far is in MLflow, or MLflow does not answer. Returns which."""
        return self._shipper.flush()

    def settle(self) -> bool:
        """Wait until MLflow has all that was recorded on this machine, with the patience of a study's end. Returns whether."""
        self._take_up_left()
        with telling(LOG, "waiting until MLflow has all records, %.0f s after the last that it took", self._patience):
            whole = self._shipper.flush(self._patience)
            until = time.monotonic() + self._patience
            while whole and any(session.waiting() for session in self._spool.sessions()):
                whole = time.monotonic() < until
                time.sleep(0.1)
        if not whole:
            self._patience = 0.0  # once is enough
        return whole and not self._shipper.refused

    @property
    def parent(self) -> str | None:
        """Id of the study's own run; None before MLflow made it."""
        return self._runs.parent_id

    def raise_for_rejected(self) -> None:
        """Raises TrackingError when MLflow refused records since this was last asked."""
        refused, self._shipper.refused[:] = [*self._shipper.refused], []
        if refused:
            raise TrackingError(
                without_credentials(self.uri), f"{len(refused)} records were refused, the first: {refused[0]}"
            )

    def unshipped(self) -> str | None:
        """What MLflow does not have, and the command that completes it, in one line; None when it has everything."""
        waiting, refused = self._shipper.left, len(self._shipper.refused)
        if not waiting and not refused:
            return None
        what = [f"{waiting} records wait in {self._spool.folder} ({self._shipper.trouble})"] if waiting else []
        what += [f"{refused} records were refused ({self._shipper.refused[0]})"] if refused else []
        return f"not in MLflow yet: {', '.join(what)}; complete it with: {self._command()}"

    def _command(self) -> str:
        words = ["dfkd-tune", "sync", self.experiment]
        if store_of(self.storage) != store_of(optuna_url(None)):
            words += ["--storage", without_credentials(self.storage)]
        if store_of(self.uri) != store_of(tracking_url(None)):
            words += ["--tracking-uri", without_credentials(self.uri)]
        return shlex.join(words)

    def _put(self, record: Record, files: Mapping[str, bytes] | None = None) -> None:
        file = self._session.append(record, files)
        self._shipper.put(self._session, file, record)


def _is_away(uri: str) -> bool:
    """Whether nobody answers there, rather than somebody else."""
    try:
        preflight(uri)
    except TrackingError:
        return True
    return False


def interrupted(run: Record) -> Record:
    """The end of a run whose process is gone."""
    return Record(Event.CLOSE, run.run, run.name, now(), State.INTERRUPTED.status, tags={tag.STATE: State.INTERRUPTED})


def _context_tags() -> dict[str, str]:
    """The user, source and git tags that MLflow's fluent runs get, and what the run is made with."""
    from mlflow.tracking.context import registry

    made_with = {tag.VERSIONS: "versions", tag.GIT: "git"}
    found = provenance()
    return dict(registry.resolve_tags()) | {name: found[key] for name, key in made_with.items() if key in found}
