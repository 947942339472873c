"""Open the total of a study: its ledger in the storage, and the folder of its answered rows, before its teacher is asked."""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import optuna
from optuna.study import StudyDirection

from dfkd_tune.errors import QueriesSpent, StorageError, StudyMismatch
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.locations.paths import shared_folder, sqlite_file, writable
from dfkd_tune.search.attributes import ASKER, DIVISION, PROBED, ROWS, SESSIONS, SUBJECT, TOTAL, StudyRecord
from dfkd_tune.search.foreign import refuse_foreign
from dfkd_tune.search.loaded import recorded
from dfkd_tune.search.locks import ASKING, StudyLock, exclusive
from dfkd_tune.search.queries.ledger import Ledger
from dfkd_tune.search.sampling import without_experimental_warnings
from dfkd_tune.search.storage import open_storage
from dfkd_tune.search.study_file import StudySpec
from dfkd_tune.search.trial_queue import in_words, whoami
from dfkd_tune.study.agreement.differences import declared_in, difference, tree_of
from dfkd_tune.study.total.division import AGAIN_ROWS, Division
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.metering.answered_rows import AnsweredRows
from dfkd_tune.teachers.metering.meter import Meter
from dfkd_tune.teachers.metering.parts import AGAIN, CERTIFICATE, OPENING
from dfkd_tune.teachers.probe import Probe
from dfkd_tune.utils.waits import telling

LOG = logging.getLogger(__name__)
WAITING = "study %s: waiting until %s has asked the teacher for rows that all trials share; if it ends or dies, this process goes on"
FOLDER = "rows"
"""Folder, beside the storage, with a folder of answered rows for each study that has a total."""


class Subject(NamedTuple):
    """What the rows of a study are asked of, as far as it is known before any is asked.

    Args:
        teacher: SHA-256 of the teacher; empty if only its answers tell one from another.
        features: SHA-256 of what is declared of its inputs.
    """

    teacher: str
    features: str

    @classmethod
    def of(cls, teacher: Teacher, inputs: Inputs) -> Subject:
        """The subject of a teacher and its inputs before they are asked."""
        return cls(teacher.sha256, inputs.fingerprint())

    def changed(self, known: Sequence[str]) -> list[str]:
        """Which of both differs from a recorded subject: ``teacher``, ``features``."""
        pairs = zip(self._fields, self, known, strict=True)
        return [name for name, mine, theirs in pairs if mine and theirs and mine != theirs]

    def is_same(self, known: Sequence[str] | None) -> bool:
        """Whether it is a recorded subject for sure."""
        return known is not None and bool(self.teacher) and list(self) == list(known)


@dataclass(frozen=True)
class Total:
    """The total of a study.

    Args:
        url: URL of the study's storage.
        ledger: the claimed rows.
        meter: counts and keeps what this process asks.
        division: how the total is divided.
        rows: the answered rows.
        recorded: the total on record when this one was opened; None for a study that is not set up.
        few: number of different rows of the inputs; None if there are more than the total.
    """

    url: str
    ledger: Ledger
    meter: Meter
    division: Division
    rows: AnsweredRows
    recorded: int | None
    few: int | None = None

    @property
    def left(self) -> int:
        """Rows that are not claimed, without those that are kept for the certificate and for asking kept rows again."""
        claimed = self.ledger.claimed()
        return self.ledger.total - sum(claimed.values()) - _kept(self.division, claimed)

    def settle(self) -> None:
        """Record total and division, now that the study is set up. The caller holds the storage's lock.

        Raises:
            StudyMismatch: another process has recorded another total since this one was opened.
        """
        study, total = self.ledger.study, self.ledger.total
        known = StudyRecord.of(study)
        if known.identity and known.total_queries not in (self.recorded, total):
            rule = f"has got budget.total_queries {known.total_queries:,} in the meantime"
            raise StudyMismatch(f"study {study.study_name!r}", rule, remedy="run the same command again")
        if known.total_queries != total or known.division != self.division.tree():
            self.ledger.storage.note(study, {DIVISION: self.division.tree(), TOTAL: total})

    def probed(self, measure: Callable[[], Probe]) -> tuple[Probe, Total]:
        """What is known of the teacher, and the total with the division that is settled then.

        One process measures, and all others wait for it. The total is divided again by the rows that were asked up to then, as
        teachers differ in what it takes to know them.

        Args:
            measure: asks the teacher for all that is to be known before the first row of the study's own.

        Raises:
            QueriesSpent: too few rows are left to train on.
        """
        study = self.ledger.study
        with self.asking_alone():
            known = StudyRecord.of(study)
            found = measure() if known.probed is None else Probe(**known.probed)
            if known.probed is None:
                study.set_user_attr(PROBED, asdict(found))
            self.meter.takes_arrays = found.takes_arrays  # another process has asked the row that tells it
            if known.identity:  # its division is on record
                return found, self
            opening = self.ledger.claimed().get(OPENING, 0)
            division = Division.of(self.ledger.total, opening, self.few)
            if not division.trains:  # a raise would keep the first round of a division on record
                rule = f"{opening:,} of {self.ledger.total:,} teacher queries were needed to know the teacher, which leaves too few"
                raise QueriesSpent(f"study {study.study_name!r}", rule)
            if division.different:
                few = (study.study_name, division.different, self.ledger.total)
                LOG.warning(
                    "study %s: the inputs have only %d different rows, and %d may be asked; each is asked once", *few
                )
            return found, replace(self, division=division)

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


def require_openable(spec: StudySpec, storage_url: str, subject: Subject | None = None) -> None:
    """Refuse what ``open_total`` would refuse, and a study with a total for a file without one; write nothing.

    Raises:
        StudyMismatch, StorageError: as ``open_total`` does.
    """
    file = sqlite_file(storage_url)
    if file is not None and not file.exists():
        return
    try:
        study = optuna.load_study(study_name=spec.name, storage=recorded(storage_url, spec.name))
    except KeyError:
        return
    refuse_foreign(study, storage_url)
    _require_agreement(StudyRecord.of(study), spec, storage_url, subject)


def open_total(
    spec: StudySpec,
    storage_url: str,
    meter: Meter,
    subject: Subject | None = None,
    different: int | None = None,
) -> Total:
    """Open the total of a study, which is made if there is none of its name. The total is recorded once the study is set up.

    Args:
        spec: the study file, which has a total.
        storage_url: URL of Optuna's storage.
        meter: what it counted without a budget is claimed.
        subject: the teacher and inputs that are asked; None where they are not known yet.
        different: number of different rows of the inputs, if it is known.

    Raises:
        StudyMismatch: a study of that name has no total, a larger one, or another teacher or other inputs.
        QueriesSpent: what the meter counted is more than is left.
        StorageError: the storage cannot be used, or the folder of the rows that are answered is not on this machine.
    """
    total = spec.budget.total_queries
    assert total is not None  # the caller's condition
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    require_openable(spec, storage_url, subject)
    storage = open_storage(storage_url)
    with without_experimental_warnings(), exclusive(storage, storage_url):
        try:
            study = optuna.load_study(study_name=spec.name, storage=storage)
        except KeyError:
            directions = [StudyDirection.MINIMIZE] * (2 if spec.study.pareto else 1)
            study = optuna.create_study(study_name=spec.name, storage=storage, directions=directions)
            study.set_user_attr(SESSIONS, 0)  # marks it as this program's
        known = StudyRecord.of(study)
        _require_agreement(known, spec, storage_url, subject)
        folder = _opened(study, known, storage_url, meter, subject)
        if (probed := StudyRecord.of(study).probed) is not None:
            meter.takes_arrays = Probe(**probed).takes_arrays
    settled = known.division if known.identity else None
    division = Division.of(total, None, different) if settled is None else Division.read(settled)
    division = division.raised(total) if total > division.total else division
    ledger = Ledger(storage, study, total)
    rows = AnsweredRows(folder)
    rows.refresh()
    if meter.budget is None and meter.asked:
        ledger.claim(OPENING, meter.asked)
    meter.budget, meter.rows, meter.opening = ledger, rows, None
    return Total(storage_url, ledger, meter, division, rows, known.total_queries, different)


def meter_of(teacher: Teacher | None) -> Meter:
    """The meter with which a teacher in memory was made, or a new one."""
    return Meter() if teacher is None or teacher.guard.meter is None else teacher.guard.meter


def _require_agreement(known: StudyRecord, spec: StudySpec, storage_url: str, subject: Subject | None) -> None:
    """Refuse to ask for a study on record with another teacher or other inputs, without its answers, or within a smaller total or none.

    A study that never had a total is none of this module's.
    """
    if not known.identity:  # it was begun, but never set up
        return
    total, place, new = spec.budget.total_queries, f"study {spec.name!r}", "give --name for a new study"
    if total is None:
        if known.total_queries is not None:
            rule = f"exists with budget.total_queries {known.total_queries:,}, within which later sessions stay"
            remedy = "give that total or a larger one, or --name for a new study"
            raise StudyMismatch(place, rule, remedy=remedy)
        return
    if known.total_queries is None:
        rule = "exists without budget.total_queries, so that nobody counted what it asked"
        raise StudyMismatch(place, rule, remedy=new)
    if total < known.total_queries:
        rule = f"exists with budget.total_queries {known.total_queries:,}, which can only be raised, got {total:,}"
        remedy = "give that total or a larger one, or --name for a new study"
        raise StudyMismatch(place, rule, remedy=remedy)
    if subject is not None and known.subject is not None:
        changed = subject.changed(known.subject)
        if changed:
            mine = {**known.identity, **{name: getattr(subject, name) for name in changed}}
            settings = (known.spec, tree_of(spec), known.declared, declared_in(spec))
            rule = f"exists with another {difference(known.identity, mine, *settings)}"
            raise StudyMismatch(place, rule, remedy=f"{new}, or restore what changed")
    folder = rows_folder(storage_url, known)
    if not folder.is_dir():
        rule = f"is not there, and holds the answered rows of {place}, on which all of its trials train"
        raise StorageError(folder, rule, remedy=_without_rows(known, total))


def _without_rows(known: StudyRecord, total: int) -> str:
    """What to do without the folder of the answered rows: its rows can be asked again only within the total."""
    share = "share it between the machines, or restore it"
    assert known.division is not None  # recorded with the total
    division, claimed = Division.read(known.division), known.queries
    needed = total
    while True:  # a larger total keeps more rows for the certificate
        raised = division.raised(needed) if needed > division.total else division
        least = sum(claimed.values()) + division.opening + division.first + _kept(raised, claimed)
        if least <= needed:
            break
        needed = least
    raising = f", and raise budget.total_queries to {needed:,}" if needed > total else ""
    return f"{share}; or make it, empty{raising}, to ask its rows again"


def _kept(division: Division, claimed: Mapping[str, int]) -> int:
    """Rows that no part may take but the certificate, and what asks kept rows again."""
    if division.different:  # all rows are asked at once
        return 0
    again = max(AGAIN_ROWS, division.again - claimed.get(AGAIN, 0))
    return again + max(0, division.certificate - claimed.get(CERTIFICATE, 0))


def _opened(study: optuna.Study, known: StudyRecord, storage_url: str, meter: Meter, subject: Subject | None) -> Path:
    """The folder of a study's answered rows. A study that was never set up begins anew with another teacher or other inputs."""
    if meter.rows is not None:  # this process has asked before it knew of which inputs
        folder = meter.rows.folder
    elif known.rows is not None and (known.identity or (subject is not None and subject.is_same(known.subject))):
        return writable(rows_folder(storage_url, known))
    else:
        folder = writable(shared_folder(storage_url, FOLDER) / uuid.uuid4().hex)
        if known.rows is not None:
            shutil.rmtree(rows_folder(storage_url, known), ignore_errors=True)
            study.set_user_attr(PROBED, None)
        study.set_user_attr(ROWS, folder.name)  # after the folder, so that nobody misses it
    if subject is not None and not known.identity:
        study.set_user_attr(SUBJECT, list(subject))
    return folder


def rows_folder(storage_url: str, record: StudyRecord) -> Path:
    """Folder of the answered rows of a study with a total."""
    assert record.rows is not None  # recorded when its total is opened
    return shared_folder(storage_url, FOLDER) / record.rows
