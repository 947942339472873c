"""Private parts of Optuna: its database tables and IDs, and the storage methods that are overridden.

The trial queue claims and finishes a trial in one transaction, for which Optuna has no public call.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, Protocol, cast

import optuna
import sqlalchemy
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb import storage as rdb
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.orm import Session

from dfkd_tune.compat.optuna_tables import NEWEST, Groups, TrialRows, frozen_trials, group

STUDIES = models.StudyModel
TRIALS = models.TrialModel
PARAMS = models.TrialParamModel
VALUES = models.TrialValueModel
USER_ATTRIBUTES = models.TrialUserAttributeModel
SYSTEM_ATTRIBUTES = models.TrialSystemAttributeModel
STUDY_SYSTEM_ATTRIBUTES = models.StudySystemAttributeModel
STUDY_USER_ATTRIBUTES = models.StudyUserAttributeModel
HEARTBEATS = models.TrialHeartbeatModel
INTERMEDIATE_VALUES = models.TrialIntermediateValueModel

ARTIFACT = "artifacts:"
"""Prefix of the system attributes that ``optuna.artifacts`` writes."""
CONSTRAINT = "constraints:"
"""Prefix of the system attributes of a trial that ``Trial.set_constraint`` writes."""
FIXED_PARAMS = "fixed_params"
"""System attribute of a trial with fixed parameters, as written by ``Study.enqueue_trial``."""
COLUMNS = {
    STUDIES: ("study_id", "study_name"),
    TRIALS: (
        "trial_id",
        "study_id",
        "number",
        "state",
        "datetime_start",
        "datetime_complete",
        "intermediate_values",
    ),
    PARAMS: ("trial_id", "param_name", "param_value", "distribution_json"),
    VALUES: ("trial_id", "objective", "value", "value_type"),
    USER_ATTRIBUTES: ("trial_id", "key", "value_json"),
    SYSTEM_ATTRIBUTES: ("trial_id", "key", "value_json"),
    STUDY_SYSTEM_ATTRIBUTES: ("study_id", "key", "value_json"),
    STUDY_USER_ATTRIBUTES: ("study_id", "key", "value_json"),
    HEARTBEATS: ("trial_id", "heartbeat"),
    INTERMEDIATE_VALUES: ("trial_id", "step", "intermediate_value", "intermediate_value_type"),
}
"""Table -> columns that are read or written."""
FINDERS = {
    STUDIES: ("find_or_raise_by_id",),
    TRIALS: ("find_or_raise_by_id",),
    HEARTBEATS: ("where_trial_id",),
    INTERMEDIATE_VALUES: ("stored_repr_to_intermediate_value", "intermediate_value_to_stored_repr"),
}
"""Table -> methods that are called."""
OVERRIDDEN = {
    "_set_trial_param": ("trial_id", "param_name", "param_value_internal", "distribution", "previous_distribution"),
    "_get_trials": ("study_id", "states", "included_trial_ids", "trial_id_greater_than"),
}
"""Private methods of ``RDBStorage`` that ``search.storage`` overrides, with their arguments."""
REPEATED = ("_get_best_trial_id", "_get_stale_trial_ids")
"""Private methods of ``RDBStorage`` that ``search.storage`` retries while the database is unavailable."""


class TrialRow(Protocol):
    """A row of the trials table; Optuna declares its columns without value types."""

    trial_id: int
    number: int
    state: TrialState
    datetime_start: datetime | None
    datetime_complete: datetime | None
    intermediate_values: Sequence[Any]


def trial_row(session: Session, trial_id: int, for_update: bool = False) -> TrialRow:
    """The row of a trial.

    Raises:
        KeyError: the trial does not exist.
    """
    return cast(TrialRow, TRIALS.find_or_raise_by_id(trial_id, session, for_update=for_update))


def transaction(storage: RDBStorage) -> AbstractContextManager[Any]:
    """A database session that commits at the end of the block."""
    return _create_scoped_session(storage.scoped_session)


@contextmanager
def with_known_tables() -> Iterator[None]:
    """Inside the block, open a storage whose tables have version ``NEWEST``, without the program that migrates tables.

    Its import takes as long as that of Optuna, and the search for its newest version half as long.
    """
    before = rdb._VersionManager
    rdb._VersionManager = _KnownTables
    try:
        yield
    finally:
        rdb._VersionManager = before


class _KnownTables:
    """Answers for tables of version ``NEWEST``."""

    def __init__(self, *about: object) -> None: ...

    def get_current_version(self) -> str:
        return NEWEST

    get_head_version = get_current_version

    def check_table_schema_compatibility(self) -> None: ...


def newest_version(storage: RDBStorage) -> str:
    """Version of the tables that this Optuna makes."""
    return storage.get_head_version()


def rename_study(session: Session, study: optuna.Study, name: str) -> None:
    """Give a study another name."""
    session.query(STUDIES).filter(STUDIES.study_id == study_id(study)).update({"study_name": name})


def move_artifact(session: Session, study: optuna.Study, trial: FrozenTrial, artifact: str) -> None:
    """Attach an artifact of a study to one of its trials instead."""
    key = f"{ARTIFACT}{artifact}"
    told = (
        session.query(STUDY_SYSTEM_ATTRIBUTES)
        .filter(STUDY_SYSTEM_ATTRIBUTES.study_id == study_id(study), STUDY_SYSTEM_ATTRIBUTES.key == key)
        .one_or_none()
    )
    if told is not None:
        session.add(SYSTEM_ATTRIBUTES(trial_id=trial_id(trial), key=key, value_json=told.value_json))
        session.delete(told)


def study_id(study: optuna.Study) -> int:
    """Database ID of a study."""
    return study._study_id


def trial_id(trial: optuna.Trial | FrozenTrial) -> int:
    """Database ID of a trial."""
    return trial._trial_id


def trial_ids(trials: Iterable[optuna.Trial]) -> list[int]:
    """Database IDs of trials."""
    return [trial._trial_id for trial in trials]


def study_attributes(study: optuna.Study) -> dict[str, Any]:
    """System attributes of a study, as samplers write them."""
    return study._storage.get_study_system_attrs(study._study_id)


def write_study_attributes(session: Session, study: optuna.Study, attributes: Mapping[str, Any]) -> None:
    """Set system attributes of a study in the current transaction."""
    table = STUDY_SYSTEM_ATTRIBUTES
    known = (table.study_id == study_id(study)) & table.key.in_(list(attributes))
    session.query(table).filter(known).delete(synchronize_session=False)
    for name, value in attributes.items():
        session.add(table(study_id=study_id(study), key=name, value_json=json.dumps(value)))


def study_user_attribute(session: Session, study: optuna.Study, key: str) -> Any:
    """A user attribute of a study in the current transaction; None if it has none of that name."""
    table = STUDY_USER_ATTRIBUTES
    found = session.query(table.value_json).filter(table.study_id == study_id(study), table.key == key).one_or_none()
    return None if found is None else json.loads(found[0])


def write_study_user_attributes(session: Session, study: optuna.Study, attributes: Mapping[str, Any]) -> None:
    """Set user attributes of a study in the current transaction."""
    table = STUDY_USER_ATTRIBUTES
    known = (table.study_id == study_id(study)) & table.key.in_(list(attributes))
    session.query(table).filter(known).delete(synchronize_session=False)
    for name, value in attributes.items():
        session.add(table(study_id=study_id(study), key=name, value_json=json.dumps(value)))


def set_study_attributes(study: optuna.Study, attributes: Mapping[str, Any]) -> None:
    """Set system attributes of a study."""
    for name, value in attributes.items():
        study._storage.set_study_system_attr(study._study_id, name, value)


def frozen(trial: optuna.Trial) -> FrozenTrial:
    """A trial as its storage holds it."""
    return trial.storage.get_trial(trial._trial_id)


def trial_of(study: optuna.Study, number: int) -> optuna.Trial:
    """The running trial of a study with a number."""
    storage = study._storage
    return optuna.Trial(study, storage.get_trial_id_from_study_id_trial_number(study._study_id, number))


def note_report(trial: optuna.Trial, step: int, value: float) -> None:
    """Add an intermediate value that is already in the storage to a trial, as ``Trial.report`` does."""
    trial._cached_frozen_trial.intermediate_values[step] = value


def write_reports(storage: RDBStorage, session: Session, reports: Mapping[int, tuple[int, float]]) -> None:
    """Write the next intermediate value of trials, ID -> ``(step, value)``, in the current transaction.

    Optuna's own call takes three statements a value.

    Raises:
        UpdateFinishedTrialError: a trial has ended.
        KeyError: a trial does not exist.
    """
    table, steps = INTERMEDIATE_VALUES, {step for step, _ in reports.values()}
    again = (table.trial_id == TRIALS.trial_id) & table.step.in_(steps)
    known = session.query(TRIALS.trial_id, TRIALS.state, table.step).outerjoin(table, again)
    written: set[tuple[int, int | None]] = set()
    rows: list[dict[str, Any]] = []
    for trial, state, step in known.filter(TRIALS.trial_id.in_(reports)):
        storage.check_trial_is_updatable(trial, state)
        written.add((trial, step))
    if gone := reports.keys() - {trial for trial, _ in written}:
        raise KeyError(f"no trial has the ID {min(gone)}")
    for trial, (step, value) in reports.items():
        stored, kind = table.intermediate_value_to_stored_repr(value)
        row: dict[Any, object] = {"intermediate_value": stored, "intermediate_value_type": kind}
        if (trial, step) in written:
            session.query(table).filter(table.trial_id == trial, table.step == step).update(row)
        else:
            rows.append({"trial_id": trial, "step": step} | row)
    if rows:
        session.execute(sqlalchemy.insert(table), rows)


def read_trials(
    session: Session, study: int, states: Container[TrialState] | None, included: set[int], after: int
) -> list[FrozenTrial]:
    """The trials of a study that ``RDBStorage._get_trials`` returns, without an object for each of their rows.

    Args:
        session: a database session.
        study: ID of the study.
        states: states of the trials; None for all.
        included: IDs of trials up to ``after`` that are read.
        after: trials with a larger ID are read, too.

    Raises:
        KeyError: the study does not exist.
    """
    STUDIES.find_or_raise_by_id(study, session)
    wanted = [TRIALS.study_id == study]
    if after > -1:
        earlier = TRIALS.trial_id.in_([trial for trial in included if trial <= after])
        wanted.append(sqlalchemy.or_(earlier, TRIALS.trial_id > after))
    if states is not None:
        wanted.append(TRIALS.state.in_([state for state in TrialState if state in states]))
    columns = TRIALS.__table__.c  # the attributes of the same names are properties that convert times
    about = (columns.trial_id, columns.number, columns.state, columns.datetime_start, columns.datetime_complete)
    trials = [tuple(row) for row in session.execute(sqlalchemy.select(*about).where(*wanted).order_by(TRIALS.trial_id))]
    of_trials = sqlalchemy.select(TRIALS.trial_id).where(*wanted)

    def grouped(table: Any, *columns: str) -> Groups:
        found = sqlalchemy.select(table.trial_id, *(getattr(table, name) for name in columns))
        key = sqlalchemy.inspect(table).primary_key
        return group(session.execute(found.where(table.trial_id.in_(of_trials)).order_by(*key)))

    def numbers(table: Any, *columns: str) -> Groups:
        rows = grouped(table, *columns)
        return {trial: [(place, value, kind.name) for place, value, kind in found] for trial, found in rows.items()}

    return [
        *frozen_trials(
            TrialRows(
                trials,
                params=grouped(PARAMS, "param_name", "param_value", "distribution_json"),
                values=numbers(VALUES, "objective", "value", "value_type"),
                reports=numbers(INTERMEDIATE_VALUES, "step", "intermediate_value", "intermediate_value_type"),
                user=grouped(USER_ATTRIBUTES, "key", "value_json"),
                system=grouped(SYSTEM_ATTRIBUTES, "key", "value_json"),
            )
        ).values()
    ]


def forget_cached_trials(study: optuna.Study) -> None:
    """Make a study read its trials again, as ``Study.ask`` does."""
    study._thread_local.cached_all_trials = None


def stale_trial_ids(storage: RDBStorage, study: optuna.Study) -> set[int]:
    """IDs of running trials without a heartbeat for the grace period."""
    return set(storage._get_stale_trial_ids(study._study_id))


def set_trial_value(storage: RDBStorage, session: Session, row: Any, objective: int, value: float) -> None:
    """Write an objective value of a trial in the current transaction."""
    storage._set_trial_value_without_commit(session, row, objective, value)
