"""Open the total of a study: its ledger in the storage, and the folder of its answered rows, before its teacher is asked."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import optuna
from optuna.study import StudyDirection

from dfkd_tune.errors import StorageError, StudyMismatch
from dfkd_tune.locations.paths import shared_folder, writable
from dfkd_tune.search.attributes import ASKER, DIVISION, PROBED, ROWS, SESSIONS, TOTAL, StudyRecord
from dfkd_tune.search.foreign import refuse_foreign
from dfkd_tune.search.locks import ASKING, StudyLock, exclusive
from dfkd_tune.search.queries.ledger import Ledger
from dfkd_tune.search.sampling import without_experimental_warnings
from dfkd_tune.search.storage import open_storage
from dfkd_tune.search.study_file import StudySpec
from dfkd_tune.search.trial_queue import in_words, whoami
from dfkd_tune.study.total.division import Division
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.metering.answered_rows import AnsweredRows
from dfkd_tune.teachers.metering.meter import Meter
from dfkd_tune.teachers.metering.parts import OPENING
from dfkd_tune.teachers.probe import Probe
from dfkd_tune.utils.waits import telling

LOG = logging.getLogger(__name__)
WAITING = "study %s: waiting until %s has asked the teacher for rows that all trials share; if it ends or dies, this process goes on"
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

    def probed(self, measure: Callable[[], Probe]) -> tuple[Probe, Total]:
        """What is known of the teacher, and the total with the division that is settled then.

        One process measures, and all others wait for it. The total is divided again by the rows that were asked up to then, as
        teachers differ in what it takes to know them.

        Args:
            measure: asks the teacher for all that is to be known before the first row of the study's own.
        """
        study = self.ledger.study
        with self.asking_alone():
            known = StudyRecord.of(study)
            if known.probed is not None:
                assert known.division is not None  # recorded when the total was opened
                return Probe(**known.probed), replace(self, division=Division.read(known.division))
            found = measure()
            settled = Division.of(self.ledger.total, self.ledger.claimed().get(OPENING, 0))
            study.set_user_attr(DIVISION, settled.tree())
            study.set_user_attr(PROBED, asdict(found))
            return found, replace(self, division=settled)

    @contextmanager
    def asking_alone(self, check_cancelled: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the lock of the process that asks, with all answers of others read; a message says for whom this process waits.

        Args:
            check_cancelled: called while another process asks, and may raise.
        """
        study, storage = self.ledger.study, self.ledger.storage
        lock = StudyLock(storage, self.url, study, ASKING)
        if not lock.acquire():
            asker = StudyRecord.of(study).asker or "another process"
            with telling(LOG, WAITING, study.study_name, asker):
                lock.wait(check_cancelled)
        try:
            study.set_user_attr(ASKER, in_words(whoami()))
            self.rows.refresh()
            yield
        finally:
            lock.release()


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
