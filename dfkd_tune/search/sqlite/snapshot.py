"""The studies of an SQLite file at one moment, for commands that only look."""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any, NoReturn

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from dfkd_tune.compat.optuna_tables import FrozenStudy, Tables, read_tables
from dfkd_tune.errors import StorageError


def snapshot(file: Path, name: str | None = None) -> Snapshot | None:
    """Read the studies of an SQLite file, with the trials of study ``name`` or of all; None if that is left to Optuna."""
    found = read_tables(file, name)
    return None if found is None else Snapshot(file, found)


class Snapshot(BaseStorage):
    """A storage for Optuna that cannot be written, and stays as it was read.

    Args:
        file: the database, for messages.
        tables: what was read from it.
    """

    def __init__(self, file: Path, tables: Tables) -> None:
        self.file, self._studies, self._trials = file, tables.studies, tables.trials

    def get_study_id_from_name(self, study_name: str) -> int:
        found = next((number for number, study in self._studies.items() if study.study_name == study_name), None)
        if found is None:
            raise KeyError(study_name)
        return found

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._studies[study_id].study_name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._studies[study_id].directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._studies[study_id].user_attrs

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._studies[study_id].system_attrs

    def get_all_studies(self) -> list[FrozenStudy]:
        return [*self._studies.values()]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return {number: trial for trials in self._trials.values() for number, trial in trials.items()}[trial_id]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        found = [trial for trial in self._trials[study_id].values() if states is None or trial.state in states]
        return copy.deepcopy(found) if deepcopy else found

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        self._refuse()

    def delete_study(self, study_id: int) -> None:
        self._refuse()

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._refuse()

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._refuse()

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        self._refuse()

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        self._refuse()

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        self._refuse()

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self._refuse()

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._refuse()

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise StorageError(self.file, "was read at one moment and cannot be written", remedy="open it with Optuna")
