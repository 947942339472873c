"""Complete or rebuild the MLflow runs of a study from its spool and its storage. Repeating it changes nothing."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from dfkd_tune.errors import DfkdError, ExportError, NotFound
from dfkd_tune.locations.paths import absolute, optuna_url, spool_folder
from dfkd_tune.locations.sqlite_files import readable
from dfkd_tune.registry.certificate_files import is_certified
from dfkd_tune.registry.sources import Sources
from dfkd_tune.registry.versions import undescribed, without_model
from dfkd_tune.search.attributes import RECORD, StudyRecord
from dfkd_tune.search.dashboard import artifact_names
from dfkd_tune.search.loaded import live_study, load_study
from dfkd_tune.search.ranking import Promoted, leading_students, run_name
from dfkd_tune.search.storage import open_storage
from dfkd_tune.search.trial_queue import FINISHED
from dfkd_tune.study.ending import recorded_ending
from dfkd_tune.tracking import params as param
from dfkd_tune.tracking import run_lookup
from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.connection import guarded, open_client, preflight
from dfkd_tune.tracking.outbox import REFUSED, SHIPPED, Damaged, Event, Outbox, OutboxSegment, Record, plain, read
from dfkd_tune.tracking.runs import RejectedRecord, Runs
from dfkd_tune.tracking.states import RunStatus
from dfkd_tune.tracking.tags import RunKind
from dfkd_tune.tracking.tracker import interrupted
from dfkd_tune.training import metrics as metric
from dfkd_tune.utils.seeding import derive
from dfkd_tune.utils.text.markdown import without_section

LOG = logging.getLogger(__name__)


@dataclass
class Synced:
    """What a synchronization did.

    Args:
        runs: number of runs in MLflow now, including the parent run.
        written: number of missing batches that were written.
        rebuilt: number of runs made from the storage alone, without student and curve.
        ended: number of orphaned runs, which are now KILLED.
        refused: reasons why records were rejected by MLflow or have damaged files.
        busy: number of running processes, which upload their records themselves.
        restored: whether a deleted experiment was restored.
        certified, summarized: whether a missing certificate, and a missing summary, were added.
        models: number of students that were added as logged models.
        versions: number of registered versions, made in MLflow's pages, that were described.
    """

    runs: int = 0
    written: int = 0
    rebuilt: int = 0
    ended: int = 0
    refused: tuple[str, ...] = ()
    busy: int = 0
    restored: bool = False
    certified: bool = False
    summarized: bool = False
    models: int = 0
    versions: int = 0


def sync(storage_url: str, tracking_uri: str, name: str, sources: Sources | None = None) -> Synced:
    """Complete or rebuild the MLflow runs of a study.

    Args:
        storage_url, tracking_uri: URL of the study's Optuna storage and MLflow tracking URI.
        name: name of the study.
        sources: current paths of teacher and features, for a missing certificate.

    Raises:
        NotFound: if neither spool nor storage has the study.
        TrackingError: if MLflow cannot be reached or written; records uploaded before stay.
    """
    uri = absolute(tracking_uri)
    spool = Outbox(spool_folder(storage_url, name), storage_url)
    sessions = spool.sessions()
    try:
        study = load_study(storage_url, name)
    except NotFound:
        if not sessions:
            raise
        study = None
    preflight(uri)
    done, runs = Synced(), Runs(uri, name)
    with _held(sessions) as held, guarded(uri):
        done.busy = len(sessions) - len(held)
        runs.survey()
        done.restored = runs.restored
        done.refused = tuple(_upload(runs, held))
        if study is not None:
            done.rebuilt = _rebuild(runs, study)
        done.ended = _end(runs, study, held, sessions)
        done.written = runs.writes
        _publish(done, runs, study, uri, optuna_url(storage_url), sources or Sources())
        done.runs = len(runs.survey())
    return done


def _upload(runs: Runs, held: list[OutboxSegment]) -> Iterator[str]:
    """Apply all records in order, and close runs that were left open. Yields the reason for each rejected record."""
    for session in held:
        for run in session.unclosed():
            session.append(interrupted(run))
        for file in session.files():
            try:
                record = read(file)
                if record.event != Event.SWEEP or file.parent.name != SHIPPED:
                    runs.apply(record, session.spool.content, own=False)
                    session.settle(file)
            except (RejectedRecord, Damaged) as error:
                session.settle(file, REFUSED)
                yield str(error)


def _rebuild(runs: Runs, study: Study) -> int:
    """Make the runs of finished trials that no spool on this machine has."""
    found = runs.survey()
    ids = {run.data.tags.get(tag.RECORD) for run in found}
    numbers = {run.data.params.get(param.TRIAL) for run in found if run.data.tags.get(tag.KIND) == RunKind.TRIAL}
    missing = [
        trial
        for trial in study.get_trials(deepcopy=False, states=FINISHED)
        if (trial.user_attrs[RECORD] not in ids if RECORD in trial.user_attrs else str(trial.number) not in numbers)
    ]
    if missing or runs.parent() is None:
        runs.apply(_study(study), _nothing, own=False)
    for trial in missing:
        for record in _records(study, trial):
            runs.apply(record, _nothing, own=False)
    return len(missing)


def _study(study: Study) -> Record:
    record = StudyRecord.of(study)
    known, files = record.identity, {"teacher": record.teacher, param.POOL: record.pool}
    facts = {key: known[key] for key in ("objective", param.SEED, param.BANK) if key in known}
    facts |= {key: value for key, value in files.items() if value is not None}
    tags = {tag.KIND: RunKind.STUDY, tag.STUDY: study.study_name, tag.OBJECTIVE: record.objective}
    hashes = {tag.TEACHER_SHA256: "teacher", tag.FEATURES_SHA256: "features"}
    shas = {name: known[key] for name, key in hashes.items() if key in known}
    begun = min(
        (trial.datetime_start for trial in study.get_trials(deepcopy=False) if trial.datetime_start), default=None
    )
    at = round(begun.timestamp() * 1000) if begun else 0
    more = {tag.TIER: record.tier} if record.tier is not None else {}
    more |= {tag.TOTAL_QUERIES: record.total_queries} if record.total_queries is not None else {}
    return Record(Event.STUDY, name=study.study_name, at=at, params=plain(facts), tags=plain(tags | shas | more))


def _records(study: Study, trial: FrozenTrial) -> tuple[Record, Record]:
    """A trial in the storage as the records that its worker would have written."""
    of_study, recorded = StudyRecord.of(study), recorded_ending(trial)
    fallback = hashlib.sha256(f"{study.study_name}/{trial.number}".encode()).hexdigest()[:32]
    record, name = trial.user_attrs.get(RECORD, fallback), run_name(trial.number)
    params: dict[str, Any] = {param.TRIAL: trial.number}
    if recorded.recipe is not None:
        from dfkd_tune.search.recorded_recipes import recipe_of

        params |= recipe_of(trial).leaves()
    if (seed := of_study.identity.get("seed")) is not None:
        params[param.SEED] = derive(seed, "trial", trial.number)
    about = {tag.KIND: RunKind.TRIAL, tag.STUDY: study.study_name, tag.REBUILT: "from the study's storage"}
    tier = {tag.TIER: of_study.tier} if of_study.tier is not None else {}
    assert trial.datetime_complete is not None  # it has ended
    begun = round((trial.datetime_start or trial.datetime_complete).timestamp() * 1000)
    ended = round(trial.datetime_complete.timestamp() * 1000)
    return (
        Record(Event.OPEN, record, name, begun, params=plain(params), tags=plain(about | tier)),
        Record(Event.CLOSE, record, name, ended, recorded.status, tags=plain(recorded.tags), metrics=recorded.metrics),
    )


def _end(runs: Runs, study: Study | None, held: list[OutboxSegment], sessions: list[OutboxSegment]) -> int:
    """End the runs that no process works on. Returns how many."""
    gone = {session.name for session in held}
    busy = {session.name for session in sessions} - gone
    trials = study.get_trials(deepcopy=False) if study is not None else []
    at_work = {str(trial.number) for trial in trials if trial.state == TrialState.RUNNING}
    latest = max((record.at for session in held for record in session.records()), default=0)
    ended = 0
    for run in runs.survey():
        session, status = run.data.tags.get(tag.SESSION), RunStatus.KILLED
        if run.info.status != RunStatus.RUNNING or session in busy:
            continue
        if run.data.tags.get(tag.KIND) == RunKind.STUDY:
            if busy or at_work:
                continue
            if not held and trials and all(trial.state.is_finished() for trial in trials):
                status = RunStatus.FINISHED
        elif session not in gone and run.data.params.get(param.TRIAL) in at_work:
            continue
        runs.end_run(run.info.run_id, status, max(latest, run.info.start_time))
        ended += 1
    return ended


def _publish(done: Synced, runs: Runs, study: Study | None, uri: str, storage_url: str, sources: Sources) -> None:
    """Add what a finished study lacks: certificate, summary, logged models, records of versions; failures are logged."""
    parent, name = runs.parent(), runs.experiment
    if parent is None or parent.info.status != RunStatus.FINISHED or tag.PROMOTED not in parent.data.tags:
        return
    promoted = parent.data.tags[tag.PROMOTED]
    leaders = parent.data.tags.get(tag.LEADERS, promoted).split(", ")
    chosen = StudyRecord.of(study).promoted if study is not None else None
    try:
        run = run_lookup.find_run(uri, name, name=promoted)
        missing = not is_certified(uri, run)
        unsummarized = chosen is not None and not without_section(parent.data.tags.get(tag.NOTE, ""), "Registered")
        unmeasured = metric.CERTIFICATE_RMSE not in parent.data.metrics
        unlogged = without_model(uri, name, leaders)
        unshown = study is not None and not _shown(study, storage_url, promoted)
        if not (missing or unsummarized or unmeasured or unlogged or unshown or undescribed(open_client(uri), name)):
            return
        from dfkd_tune.registry import certificates, logged_models, page_versions, register  # it takes seconds

        problem = cache(lambda: certificates.rebuild_problem(name, parent.data.params, parent.data.tags, sources))
        if missing or unmeasured:
            from dfkd_tune.reporting.publication import size_of

            size = size_of(study) if study is not None else None
            certificate = register.certified(uri, name, run, problem, size)
            done.certified = missing
            assert parent.info.end_time is not None  # it has finished
            figures = {metric.CERTIFICATE_RMSE: certificate["report"]["rmse"]}
            if unmeasured:
                runs.add(parent.info.run_id, figures, parent.info.end_time)
        done.models = len(logged_models.log_leaders(uri, name, leaders))
        if unsummarized and study is not None and chosen is not None:
            from dfkd_tune.reporting import mlflow_summary

            own = live_study(storage_url, name)
            mlflow_summary.log_study_summary(uri, own, parent.info.run_id, problem(), Promoted(**chosen))
            done.summarized = True
        done.versions = page_versions.describe_missing(uri, name, problem)
        if unshown and study is not None:
            from dfkd_tune.reporting import publication

            students = leading_students(study, len(leaders))
            publication.show_in_optuna(uri, open_storage(readable(storage_url)), study, students)
    except DfkdError as error:
        LOG.warning("the MLflow summary of study %s is incomplete: %s", name, error)


def _shown(study: Study, storage_url: str, promoted: str) -> bool:
    """Whether Optuna has the promoted student as an artifact."""
    return any(name.startswith(promoted) for name in artifact_names(study, open_storage(readable(storage_url))))


def _nothing(digest: str) -> bytes:
    raise ExportError(digest, "is in no spool")


@contextmanager
def _held(sessions: list[OutboxSegment]) -> Iterator[list[OutboxSegment]]:
    """The spool sessions whose process has ended, locked during the block."""
    held = [session for session in sessions if session.hold()]
    try:
        yield held
    finally:
        for session in held:
            session.release()
