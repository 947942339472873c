"""Apply records to MLflow runs. Applying a record twice has the same result as applying it once.

A run is identified by its record's id, the tag ``dfkd.record``. So a run is found even if the response to its creation was lost.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from dfkd_tune.errors import ExportError, TrackingError
from dfkd_tune.locations.paths import folder_name, sqlite_file, without_credentials, writable
from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.connection import guarded, line, open_client, refuse_foreign, single_attempt
from dfkd_tune.tracking.outbox import Event, Record
from dfkd_tune.tracking.project_run import given_run
from dfkd_tune.tracking.run_files import Content, artifacts_of, complete, write_files
from dfkd_tune.tracking.states import RunStatus, State
from dfkd_tune.tracking.tags import RunKind
from dfkd_tune.training import metrics as metric

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

LOG = logging.getLogger(__name__)
HOPELESS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "BAD_REQUEST")
"""MLflow's error codes for records that it always rejects."""
PAGE = 1000


class RejectedRecord(Exception):
    """MLflow rejected a record."""


class Runs:
    """The runs of one experiment.

    Args:
        uri: MLflow tracking URI.
        experiment: name of the experiment.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        self.uri, self.experiment = uri, experiment
        self._opened: MlflowClient | None = None
        self._found_experiment: str | None = None
        self.parent_id: str | None = None
        self._apply: dict[Event, Callable[[Record, Content, bool], None]] = {
            Event.STUDY: self._study,
            Event.END: self._end,
            Event.OPEN: self._open,
            Event.CLOSE: self._close,
            Event.LEFT: self._left,
            Event.SWEEP: self._sweep,
        }
        self._ids: dict[str, str] = {}
        self._asked: set[str] = set()
        self._doubtful: set[str] = set()
        self._all: dict[str, list[Run]] | None = None
        self._starts: dict[str, int] = {}
        self.writes = 0
        """Number of batches written so far."""
        self.restored = False
        """Whether a deleted experiment was restored."""

    def connect(self) -> None:
        """Open the store, and find or create the experiment.

        Raises:
            TrackingError: if that fails, or another program made the experiment.
        """
        with single_attempt(self.uri):
            self._connect()

    def refuse_foreign(self, hashes: Mapping[str, str]) -> None:
        """Refuse an experiment of another program or of another study, without creating or restoring anything.

        Args:
            hashes: tags that name the study's teacher and inputs.

        Raises:
            TrackingError: if it has such runs, or MLflow cannot be read.
        """
        with single_attempt(self.uri), guarded(self.uri):
            self._opened = self._opened or open_client(self.uri)
            found = self._opened.get_experiment_by_name(self.experiment)
            if found is not None:
                refuse_foreign(self._opened, found)
                self._refuse_namesake(self._opened, found.experiment_id, hashes)

    def _refuse_namesake(self, opened: MlflowClient, experiment_id: str, hashes: Mapping[str, str]) -> None:
        """Refuse an experiment whose study has another teacher or other inputs: its students would be taken for this study's."""
        for run in opened.search_runs([experiment_id], f"tags.`{tag.KIND}` = '{RunKind.STUDY}'"):
            for name, value in hashes.items():
                if run.data.tags.get(name, value) != value:
                    what = name.removeprefix(tag.PREFIX).removesuffix("_sha256")
                    raise TrackingError(
                        f"study {self.experiment!r}",
                        f"is in MLflow already, by another storage and with another {what}",
                        remedy="take another name, or another --tracking-uri",
                    )

    def _connect(self) -> None:
        if self._found_experiment is None:
            self._opened = self._opened or open_client(self.uri)
            with guarded(self.uri):
                self._found_experiment = self._find_experiment()

    @property
    def _client(self) -> MlflowClient:
        assert self._opened is not None  # only used once connected
        return self._opened

    @property
    def _experiment_id(self) -> str:
        assert self._found_experiment is not None  # only used once connected
        return self._found_experiment

    def apply(self, record: Record, content: Content, own: bool, end: Record | None = None) -> None:
        """Apply a record.

        Args:
            record: the record.
            content: returns the content of a SHA-256.
            own: whether this process wrote the record. Then its run cannot exist before the first attempt.
            end: record of the end of the run that ``record`` starts, if it is known already.

        Raises:
            RejectedRecord: if MLflow will never accept it, or its files are damaged.
            Exception: any other if MLflow cannot be reached or written at the moment.
        """
        from mlflow.exceptions import MlflowException

        with single_attempt(self.uri):
            self._connect()
            try:
                if end is None:
                    self._apply[record.event](record, content, own)
                else:
                    self._whole(record, end, content)
            except ExportError as error:
                raise RejectedRecord(str(error)) from None
            except MlflowException as error:
                if error.error_code in HOPELESS:
                    raise RejectedRecord(without_credentials(line(error))) from None
                raise

    def survey(self) -> list[Run]:
        """Load all runs at once, so that they are not searched one by one."""
        with single_attempt(self.uri):
            self._connect()
            found = self._search("")
            self._all, self._starts = {}, {}
            for run in found:
                self._all.setdefault(run.data.tags.get(tag.RECORD, ""), []).append(run)
                name = run.data.tags.get(tag.RUN, "")
                self._starts[name] = max(run.info.start_time, self._starts.get(name, 0))
            return found

    def end_run(self, run_id: str, status: RunStatus, at: int) -> None:
        """End a run whose process is dead, unless its own end arrives at the same time: tags are written before the status."""
        self.writes += 1
        with single_attempt(self.uri):
            self._client.set_terminated(run_id, status, at)
            said = self._client.get_run(run_id).data.tags.get(tag.STATE)
            known = next((state.status for state in State if state == said), status)
            if known != status:
                self._client.set_terminated(run_id, known, at)

    def add(self, run_id: str, metrics: Mapping[str, float], at: int) -> None:
        """Add metrics to a run."""
        with single_attempt(self.uri):
            self._log(run_id, at, metrics)

    def parent(self) -> Run | None:
        """The parent run of the study; None before it is created."""
        with single_attempt(self.uri):
            self._connect()
            found = self._client.search_runs(
                [self._experiment_id], f"tags.`{tag.KIND}` = '{RunKind.STUDY}'", max_results=1
            )
        if found:
            self.parent_id = found[0].info.run_id
        return found[0] if found else None

    def _study(self, record: Record, content: Content, own: bool) -> None:
        found = self.parent()
        if found is None:
            given = given_run(self._client, self._experiment_id, self.experiment) if own else None
            if given is None:
                run = self._client.create_run(
                    self._experiment_id, record.at, dict(record.tags), run_name=self.experiment
                )
                given = run.info.run_id
            self._log(given, record.at, params=record.params, tags=record.tags)
            self.parent_id = given
            return
        # If the response to the creation was lost, these are missing.
        missing = {key: value for key, value in record.params.items() if key not in found.data.params}
        if own:
            self._client.update_run(found.info.run_id, status=RunStatus.RUNNING)
        if own or missing:
            tags = {key: value for key, value in record.tags.items() if key.startswith(tag.PREFIX)}
            self._log(found.info.run_id, record.at, params=missing, tags=tags)

    def _end(self, record: Record, content: Content, own: bool) -> None:
        found = self.parent()
        if found is None or (found.info.end_time or 0) > record.at:  # a later session has ended it again
            return
        if found.info.end_time != record.at or not _holds(found, record):
            self._log(found.info.run_id, record.at, metrics=record.metrics, tags=record.tags)
            self._client.set_terminated(found.info.run_id, record.status, record.at)

    def _open(self, record: Record, content: Content, own: bool) -> None:
        if record.run in self._ids:
            return
        if again := record.run in self._asked:
            self._doubtful.add(record.run)  # an earlier request may still create it
        found = self._found(record.run) if again or not own else None
        if found is not None and found.data.params.keys() >= record.params.keys():
            self._ids[record.run] = found.info.run_id
            return
        if found is None:
            found = self._create(record)
        self._log(found.info.run_id, record.at, params=record.params)
        self._ids[record.run] = found.info.run_id

    def _whole(self, record: Record, end: Record, content: Content) -> None:
        """Write a run that MLflow does not have yet, from start to end."""
        run = self._create(record, end.tags)
        self._fill(run, end, content, record.params, tags={})
        self._client.set_terminated(run.info.run_id, end.status, end.at)

    def _create(self, record: Record, more: Mapping[str, str] | None = None) -> Run:
        self._asked.add(record.run)
        tags = {**record.tags, **(more or {}), tag.RECORD: record.run, tag.RUN: record.name}
        if self.parent_id is None:
            self.parent()
        if self.parent_id is not None:
            tags[tag.PARENT] = self.parent_id
        if record.again and (before := self._latest(record)) is not None:
            tags[tag.REQUEUED_FROM] = before.info.run_id
            self._take_over(before, record, State.INTERRUPTED.status, {tag.STATE: State.INTERRUPTED})
        run = self._client.create_run(self._experiment_id, record.at, tags, record.name)
        if self._all is not None:
            self._all[record.run] = [run]
            self._starts[record.name] = max(record.at, self._starts.get(record.name, 0))
        return run

    def _fill(
        self,
        run: Run,
        record: Record,
        content: Content,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Write the results of a run; its status comes last."""
        tags = record.tags if tags is None else tags
        self._log(run.info.run_id, record.at, record.metrics, params, tags, {metric.CURVE_RMSE: record.curve})
        if record.files:
            write_files(artifacts_of(run, self.uri), {path: content(sha) for path, sha in record.files.items()})

    def _close(self, record: Record, content: Content, own: bool) -> None:
        run_id = self._ids.get(record.run)
        if run_id is None or not own or record.run in self._doubtful:
            run = self._found(record.run)
        else:
            run = self._client.get_run(run_id)
        if run is None:
            raise RejectedRecord(f"run {record.name} is not in MLflow")
        taken = tag.SUPERSEDED in run.data.tags
        follower = self._follower(run) if not own and not taken else None
        if follower is not None:  # it was uploaded too late for the worker that took over to find it
            taken = True
            self._take_over(run, record, State.INTERRUPTED.status, {tag.STATE: State.INTERRUPTED})
            if tag.REQUEUED_FROM not in follower.data.tags:
                self._log(follower.info.run_id, record.at, tags={tag.REQUEUED_FROM: run.info.run_id})
        if own or not (_holds(run, record) and complete(artifacts_of(run, self.uri), record, content)):
            self._fill(run, record, content, tags={} if taken else record.tags)
            if not taken:
                self._client.set_terminated(run.info.run_id, record.status, record.at)
        self._ids.pop(record.run, None)

    def _left(self, record: Record, content: Content, own: bool) -> None:
        """End the run of a worker that died or lost its trial to another worker."""
        found = self._latest(record)
        if found is not None and not (found.info.status == record.status and tag.SUPERSEDED in found.data.tags):
            self._take_over(found, record, record.status, record.tags)

    def _sweep(self, record: Record, content: Content, own: bool) -> None:
        """End all runs that were open at that moment, because no process worked on them."""
        for run in self._search(f"attributes.status = '{RunStatus.RUNNING}' and attributes.start_time <= {record.at}"):
            if run.data.tags.get(tag.KIND) != RunKind.STUDY:
                self.end_run(run.info.run_id, RunStatus.KILLED, record.at)

    def _take_over(self, run: Run, record: Record, status: str | None, tags: Mapping[str, str]) -> None:
        self._log(run.info.run_id, record.at, tags={**tags, tag.SUPERSEDED: "true"})
        if run.info.status != status:
            self._client.set_terminated(run.info.run_id, status, record.at)

    def _latest(self, record: Record) -> Run | None:
        """The last run with the record's name before the record."""
        found = self._client.search_runs(
            [self._experiment_id],
            f"tags.`{tag.RUN}` = '{record.name}' and attributes.start_time <= {record.at}",
            max_results=1,
            order_by=["attributes.start_time DESC"],
        )
        return found[0] if found else None

    def _found(self, record: str) -> Run | None:
        """The run with this id. A duplicate, from a creation that was repeated without need, is deleted."""
        runs = self._search(f"tags.`{tag.RECORD}` = '{record}'") if self._all is None else self._all.get(record, [])
        runs = sorted(runs, key=lambda run: (-len(run.data.params), run.info.start_time, run.info.run_id))
        for extra in runs[1:]:
            self._client.delete_run(extra.info.run_id)
        return runs[0] if runs else None

    def _search(self, wanted: str) -> list[Run]:
        found: list[Run] = []
        token = None
        while True:
            page = self._client.search_runs([self._experiment_id], wanted, max_results=PAGE, page_token=token)
            found += page
            token = page.token
            if not token:
                return found

    def _follower(self, run: Run) -> Run | None:
        """The run that replaced this one; None if none did."""
        name, start = run.data.tags.get(tag.RUN, ""), run.info.start_time
        if self._all is not None and self._starts.get(name, 0) <= start:
            return None
        later = f"tags.`{tag.RUN}` = '{name}' and attributes.start_time > {start}"
        by = ["attributes.start_time ASC"]
        found = self._client.search_runs([self._experiment_id], later, max_results=1, order_by=by)
        return found[0] if found else None

    def _find_experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(self.experiment)
        if found is not None:
            refuse_foreign(self._client, found)
            if found.lifecycle_stage == "deleted":
                self._client.restore_experiment(found.experiment_id)
                self.restored = True
                LOG.warning("experiment %r was deleted in MLflow; it is restored", self.experiment)
            return found.experiment_id
        file = sqlite_file(self.uri)
        location = None
        if file is not None:
            location = writable(file.parent / "artifacts" / folder_name(self.experiment)).as_uri()
        try:
            return self._client.create_experiment(self.experiment, artifact_location=location)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = self._client.get_experiment_by_name(self.experiment)
            assert found is not None  # another process created it
            return found.experiment_id

    def _log(
        self,
        run_id: str,
        at: int,
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        curves: Mapping[str, Sequence[tuple[int, float]]] | None = None,
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        self.writes += 1
        points = [Metric(k, float(v), at, 0) for k, v in (metrics or {}).items()]
        points += [Metric(k, v, at, s) for k, curve in (curves or {}).items() for s, v in curve if math.isfinite(v)]
        self._client.log_batch(
            run_id,
            metrics=points,
            params=[Param(k, v) for k, v in (params or {}).items()],
            tags=[RunTag(k, v) for k, v in (tags or {}).items()],
        )


def _holds(run: Run, record: Record) -> bool:
    """Whether a run has everything that a record reports."""
    said = run.info.status == record.status and run.data.tags.items() >= record.tags.items()
    return (said or tag.SUPERSEDED in run.data.tags) and run.data.metrics.keys() >= record.metrics.keys()
