"""Remove and rename studies, with everything that was kept for them."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from dfkd_tune.compat import optuna as private
from dfkd_tune.errors import SpecError, StorageError, StudyMismatch
from dfkd_tune.locations.paths import NAME, optuna_url, shared_folder, spool_folder, sqlite_file
from dfkd_tune.registry import versions
from dfkd_tune.search import dashboard
from dfkd_tune.search.attributes import SPEC, StudyRecord
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.locks import as_many_as_are_free, study_locks
from dfkd_tune.search.ranking import leading_students
from dfkd_tune.search.storage import PatientStorage, open_storage
from dfkd_tune.search.trial_queue import TrialQueue, host_of
from dfkd_tune.study.total.opening import rows_folder
from dfkd_tune.teachers.output_cache import files_of
from dfkd_tune.tracking import experiment_upkeep as experiments
from dfkd_tune.tracking.connection import preflight
from dfkd_tune.tracking.outbox import Outbox


@dataclass(frozen=True)
class Removal:
    """What removing a study would delete.

    Args:
        name, storage_url, tracking_uri: the study and its stores.
        trials: number of its trials that have begun.
        runs: number of its MLflow runs; None without an experiment.
        spool: folder of its records; None without one.
        answers: files with outputs of its teacher that no other study uses, and their bytes.
        kept: files of its teacher and features beside the storage that no other study uses.
        rows: folder of the answered rows of its total; None without one.
        artifacts: its students and certificates that optuna-dashboard shows.
    """

    name: str
    storage_url: str
    tracking_uri: str
    trials: int
    runs: int | None
    spool: Path | None
    answers: tuple[Path, ...]
    kept: tuple[Path, ...]
    rows: Path | None = None
    artifacts: tuple[Path, ...] = ()

    @property
    def bytes(self) -> int:
        """Size of the files, in bytes."""
        folders = [folder for folder in (self.spool, self.rows) if folder is not None]
        spooled = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
        return sum(file.stat().st_size for file in (*spooled, *self.files) if file.exists())

    @property
    def files(self) -> tuple[Path, ...]:
        """The files outside of its folders."""
        return (*self.answers, *self.kept, *self.artifacts)

    def lines(self) -> list[str]:
        """What would be deleted, one thing a line."""
        lines = [f"study {self.name} with {self.trials:,} trials"]
        if self.runs is not None:
            lines.append(
                f"MLflow experiment {self.name} with {self.runs:,} runs (MLflow keeps deleted runs until mlflow gc)"
            )
        if self.spool is not None:
            lines.append(f"its records in {self.spool}")
        if self.rows is not None:
            lines.append(f"the answered rows of its total number of queries in {self.rows}")
        if self.answers:
            lines.append(f"{len(self.answers):,} files with outputs of its teacher, which no other study uses")
        if self.artifacts:
            lines.append(f"{len(self.artifacts):,} files that optuna-dashboard shows, in {self.artifacts[0].parent}")
        lines += [f"{file}, which no other study uses" for file in self.kept]
        return [*lines, f"{self.bytes / 2**20:,.1f} MiB in all"]


def plan_removal(name: str, storage_url: str, tracking_uri: str) -> Removal:
    """Find out what removing a study would delete; nothing is changed.

    Raises:
        NotFound: there is no such study.
        StudyMismatch: a worker is running it, or registered models were made from it.
        TrackingError: MLflow cannot be reached.
    """
    url = optuna_url(storage_url)
    study = load_study(url, name)
    preflight(tracking_uri, write=False)
    storage = open_storage(url)
    with _idle(study, storage, url):
        pass
    if made := versions.made_from(tracking_uri, name):
        rule = f"is where {', '.join(made[:5])} came from, and MLflow would lose the model with the runs"
        raise StudyMismatch(f"study {name!r}", rule, remedy="delete the registered versions in MLflow first")
    others = [StudyRecord.of(each) for each in _others(storage, name)]
    mine = StudyRecord.of(study)
    teacher = mine.identity["teacher"]
    shared = any(other.identity.get("teacher") == teacher for other in others)
    spool = spool_folder(url, name)
    return Removal(
        name,
        url,
        tracking_uri,
        sum(trial.datetime_start is not None for trial in study.get_trials(deepcopy=False)),
        experiments.count_runs(tracking_uri, name),
        spool if spool.exists() else None,
        () if shared else tuple(files_of(shared_folder(url, "answers"), teacher)),
        tuple(_kept(mine, others, shared_folder(url, "teachers"))),
        None if mine.rows is None else rows_folder(url, mine),
        tuple(dashboard.artifact_files(optuna.load_study(study_name=name, storage=storage), storage, url)),
    )


def remove(plan: Removal) -> str | None:
    """Delete what a plan lists, the study itself last, so that a removal that was cut short can be repeated.

    Returns the name under which MLflow can restore the runs until ``mlflow gc``; None without an experiment.
    """
    preflight(plan.tracking_uri)
    storage = open_storage(plan.storage_url)
    with _idle(load_study(plan.storage_url, plan.name), storage, plan.storage_url):
        buried = experiments.retire(plan.tracking_uri, plan.name)
        for file in plan.files:
            file.unlink(missing_ok=True)
        for folder in (plan.spool, plan.rows):
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
        optuna.delete_study(study_name=plan.name, storage=storage)
    return buried


def rename(old: str, new: str, storage_url: str, tracking_uri: str) -> None:
    """Rename a study in Optuna, MLflow, its records and the registered versions made from it.

    The study itself is renamed last, so that a renaming that was cut short can be repeated; only the notes follow. The
    files of its students and its certificates keep the name that they were made under, because their SHA-256 are recorded.

    Raises:
        SpecError: the new name is not valid.
        NotFound: there is no study of the old name.
        StudyMismatch: a worker is running it, or the new name is taken.
        TrackingError: MLflow cannot be reached or written.
    """
    if not NAME.fullmatch(new):
        rule = f"must be letters, digits, '_', '.', '-' (100 at most), got {new!r}"
        raise SpecError("the new name", rule, remedy="give another")
    url = optuna_url(storage_url)
    study = load_study(url, old)
    preflight(tracking_uri)
    storage = open_storage(url)
    with _idle(study, storage, url):
        _rename(old, new, url, storage, tracking_uri)


def _rename(old: str, new: str, url: str, storage: PatientStorage, tracking_uri: str) -> None:
    """Rename a study that nobody works on."""
    study = load_study(url, old)  # again: another process may just have renamed it
    if new in optuna.get_all_study_names(storage):
        raise StudyMismatch(f"study {new!r}", "exists already", remedy="give another name")
    if experiments.exists(tracking_uri, new) and experiments.exists(tracking_uri, old):
        raise StudyMismatch(f"study {new!r}", "is the name of an MLflow experiment already", remedy="give another name")
    experiments.rename(tracking_uri, old, new)
    versions.rename_study(tracking_uri, old, new)
    before, after = spool_folder(url, old), spool_folder(url, new)
    if before.exists():
        Outbox(before, url).rename_study(old, new)
        try:
            before.rename(after)
        except OSError as error:
            raise StorageError(before, f"cannot be renamed: {error.strerror}", remedy=f"move {after} away") from None
    spec: dict[str, Any] = dict(StudyRecord.of(study).spec or {})
    own = optuna.load_study(study_name=old, storage=storage)
    own.set_user_attr(SPEC, spec | {"study": {**spec.get("study", {}), "name": new}})
    storage.transact(lambda session: private.rename_study(session, own, new))
    from dfkd_tune.reporting import mlflow_summary, publication  # its figures take a second to import

    renamed = load_study(url, new)
    mlflow_summary.rewrite_notes(tracking_uri, renamed)
    if StudyRecord.of(renamed).promoted is not None:  # there are notes
        students = leading_students(renamed, spec["study"]["leaders"])
        publication.show_in_optuna(None, storage, renamed, students)


@contextmanager
def _idle(study: optuna.Study, storage: PatientStorage, url: str) -> Iterator[None]:
    """Hold the locks of a study that no process works on, so that nobody else removes or renames it.

    A process may work on it without a trial: it re-runs, trains the baseline, or queries the teacher.

    Raises:
        StudyMismatch: a process works on it.
    """
    sessions = Outbox(spool_folder(url, study.study_name), url).sessions()
    with as_many_as_are_free(storage, study_locks(storage, url, study)) as all_free:
        hosts = {host_of(owner) for owner in TrialQueue(study, storage).owners()}
        if not hosts and not (all_free and all(_is_free(each.hold, each.release) for each in sessions)):
            hosts = {socket.gethostname() if sqlite_file(url) is not None else ""}
        if hosts:
            where = ", ".join(sorted(filter(None, hosts)))
            place, rule = f"study {study.study_name!r}", "is running" + (f" on {where}" if where else "")
            raise StudyMismatch(place, rule, remedy="stop it first; a dead worker counts as gone after 3 minutes")
        yield


def _is_free(take: Callable[[], bool], release: Callable[[], None]) -> bool:
    """Whether no process holds a lock."""
    free = take()
    if free:
        release()
    return free


def _others(storage: PatientStorage, name: str) -> list[optuna.Study]:
    names = [each for each in optuna.get_all_study_names(storage) if each != name]
    return [optuna.load_study(study_name=each, storage=storage) for each in names]


def _kept(mine: StudyRecord, others: list[StudyRecord], folder: Path) -> list[Path]:
    """The files of teachers and features beside the storage that only this study names."""
    used = {path for other in others for path in _paths(other)}
    return sorted(Path(path) for path in _paths(mine) - used if Path(path).parent == folder and Path(path).exists())


def _paths(known: StudyRecord) -> set[str]:
    spec = known.spec or {}
    return {path for path in (spec.get("teacher", {}).get("path"), spec.get("features")) if path}
