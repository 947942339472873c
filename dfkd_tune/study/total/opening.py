"""Open the total of a study: its ledger in the storage, and the folder of its answered rows, before its teacher is asked."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import optuna
from optuna.study import StudyDirection

from dfkd_tune.errors import StorageError, StudyMismatch
from dfkd_tune.locations.paths import shared_folder, writable
from dfkd_tune.search.attributes import DIVISION, PROBED, ROWS, SESSIONS, TOTAL, StudyRecord
from dfkd_tune.search.foreign import refuse_foreign
from dfkd_tune.search.locks import exclusive
from dfkd_tune.search.queries.ledger import Ledger
from dfkd_tune.search.sampling import without_experimental_warnings
from dfkd_tune.search.storage import open_storage
from dfkd_tune.search.study_file import StudySpec
from dfkd_tune.study.total.division import Division
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.metering.answered_rows import AnsweredRows
from dfkd_tune.teachers.metering.meter import OPENING, Meter
from dfkd_tune.teachers.probe import Probe

FOLDER = "rows"
"""Folder, beside the storage, with a folder of answered rows for each study that has a total."""


@dataclass(frozen=True)
class Total:
    """The total of a study.

    Args:
        url: URL of the study's storage.
        ledger: the claimed rows.
        meter: counts and keeps what this process asks.
        division: how the total is divided.
        rows: the answered rows.
    """

    url: str
    ledger: Ledger
    meter: Meter
    division: Division
    rows: AnsweredRows

    def probed(self, measure: Callable[[], Probe]) -> Probe:
        """What is known of the teacher; measured by the first process alone."""
        known = StudyRecord.of(self.ledger.study).probed
        if known is not None:
            return Probe(**known)
        found = measure()
        self.ledger.study.set_user_attr(PROBED, asdict(found))
        return found


def open_total(spec: StudySpec, storage_url: str, meter: Meter) -> Total:
    """Open the total of a study, which is made if there is none of its name.

    Args:
        spec: the study file, which has a total.
        storage_url: URL of Optuna's storage.
        meter: what it counted without a budget is claimed.

    Raises:
        StudyMismatch: a study of that name has no total, or a larger one.
        QueriesSpent: what the meter counted is more than is left.
        StorageError: the storage cannot be used, or the folder of the rows that are answered is not on this machine.
    """
    total, place = spec.budget.total_queries, f"study {spec.name!r}"
    assert total is not None  # the caller's condition
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(storage_url)
    with without_experimental_warnings(), exclusive(storage, storage_url):
        try:
            study = optuna.load_study(study_name=spec.name, storage=storage)
        except KeyError:
            directions = [StudyDirection.MINIMIZE] * (2 if spec.study.pareto else 1)
            study = optuna.create_study(study_name=spec.name, storage=storage, directions=directions)
            study.set_user_attr(SESSIONS, 0)  # marks it as this program's
        else:
            refuse_foreign(study, storage.url)
        known = StudyRecord.of(study)
        if known.identity and known.total_queries is None:
            rule = "exists without budget.total_queries, so that nobody counted what it asked"
            raise StudyMismatch(place, rule, remedy="give --name for a new study")
        if known.total_queries is not None and total < known.total_queries:
            rule = f"exists with budget.total_queries {known.total_queries:,}, which can only be raised, got {total:,}"
            raise StudyMismatch(place, rule, remedy="give that total or a larger one, or --name for a new study")
        folder = _opened(study, known, storage_url)
        division = Division.of(total) if known.division is None else Division.read(known.division)
        division = division.raised(total) if total > division.total else division
        if known.total_queries != total:
            study.set_user_attr(DIVISION, division.tree())
            study.set_user_attr(TOTAL, total)
    ledger = Ledger(storage, study, total)
    rows = AnsweredRows(folder)
    rows.refresh()
    if meter.budget is None and meter.asked:
        ledger.claim(OPENING, meter.asked)
    meter.budget, meter.rows = ledger, rows
    return Total(storage_url, ledger, meter, division, rows)


def meter_of(teacher: Teacher | None) -> Meter:
    """The meter with which a teacher in memory was made, or a new one."""
    return Meter() if teacher is None or teacher.guard.meter is None else teacher.guard.meter


def _opened(study: optuna.Study, known: StudyRecord, storage_url: str) -> Path:
    """The folder of a study's answered rows, which the first process makes."""
    name = known.rows or uuid.uuid4().hex
    folder = shared_folder(storage_url, FOLDER) / name
    if known.rows is not None and not folder.is_dir():
        rule = (
            f"is not there, and holds the answered rows of study {study.study_name!r}, on which all of its trials train"
        )
        raise StorageError(
            folder, rule, remedy="share it between the machines, or make it, empty, to do without those rows"
        )
    writable(folder)
    if known.rows is None:
        study.set_user_attr(ROWS, name)  # after the folder, so that nobody misses it
    return folder


def rows_folder(storage_url: str, record: StudyRecord) -> Path:
    """Folder of the answered rows of a study with a total."""
    assert record.rows is not None  # recorded when its total is opened
    return shared_folder(storage_url, FOLDER) / record.rows
