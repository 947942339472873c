"""Private parts of Optuna: its database tables and IDs, and the storage methods that are overridden.

The trial queue claims and finishes a trial in one transaction, for which Optuna has no public call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, Protocol, cast

import optuna
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb import storage as rdb
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState

from dfkd_tune.compat.optuna_tables import NEWEST

STUDIES = models.StudyModel
TRIALS = models.TrialModel
PARAMS = models.TrialParamModel
USER_ATTRIBUTES = models.TrialUserAttributeModel
SYSTEM_ATTRIBUTES = models.TrialSystemAttributeModel
STUDY_SYSTEM_ATTRIBUTES = models.StudySystemAttributeModel
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
    TRIALS: ("trial_id", "study_id", "number", "state", "datetime_start", "datetime_complete", "intermediate_values"),
    PARAMS: ("trial_id", "param_name", "param_value", "distribution_json"),
    USER_ATTRIBUTES: ("trial_id", "key", "value_json"),
    SYSTEM_ATTRIBUTES: ("trial_id", "key", "value_json"),
    STUDY_SYSTEM_ATTRIBUTES: ("study_id", "key", "value_json"),
    HEARTBEATS: ("trial_id", "heartbeat"),
    INTERMEDIATE_VALUES: ("step", "intermediate_value", "intermediate_value_type"),
}
"""Table -> columns that are read or written."""
FINDERS = {
    TRIALS: ("find_or_raise_by_id",),
    HEARTBEATS: ("where_trial_id",),
    INTERMEDIATE_VALUES: ("stored_repr_to_intermediate_value",),
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


def trial_row(session: Any, trial_id: int, for_update: bool = False) -> TrialRow:
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


def rename_study(session: Any, study: optuna.Study, name: str) -> None:
    """Give a study another name."""
    session.query(STUDIES).filter(STUDIES.study_id == study_id(study)).update({"study_name": name})


def move_artifact(session: Any, study: optuna.Study, trial: FrozenTrial, artifact: str) -> None:
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
    """Tell a trial of an intermediate value that is in its storage already, as ``Trial.report`` does."""
    trial._cached_frozen_trial.intermediate_values[step] = value


def write_report(storage: RDBStorage, session: Any, trial: int, step: int, value: float) -> None:
    """Write an intermediate value of a trial, given by its ID, in the current transaction."""
    storage._set_trial_intermediate_value_without_commit(session, trial, step, value)


def forget_cached_trials(study: optuna.Study) -> None:
    """Make a study read its trials again, as ``Study.ask`` does."""
    study._thread_local.cached_all_trials = None


def stale_trial_ids(storage: RDBStorage, study: optuna.Study) -> set[int]:
    """IDs of running trials without a heartbeat for the grace period."""
    return set(storage._get_stale_trial_ids(study._study_id))


def set_trial_value(storage: RDBStorage, session: Any, row: Any, objective: int, value: float) -> None:
    """Write an objective value of a trial in the current transaction."""
    storage._set_trial_value_without_commit(session, row, objective, value)
