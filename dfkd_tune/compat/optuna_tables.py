"""Private parts of Optuna: how its tables hold studies and trials.

An SQLite file is read here without SQLAlchemy. SQLAlchemy and Optuna's table classes take longer to import than Optuna itself.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

NEWEST, MIGRATIONS = "v3.2.0.a", 10
"""Version of the tables that Optuna 5.0 makes, and the number of migrations that lead there."""
READ_AS = "5.0."
"""Releases of Optuna whose tables are read here as they read them; those of others are left to Optuna."""
NOT_FINITE = {"NAN": math.nan, "INF_POS": math.inf, "INF_NEG": -math.inf}
"""Type of a value -> the value, for those that are not kept as numbers."""
UNREADABLE = (sqlite3.Error, LookupError, ValueError, TypeError)
"""What reading raises where the tables hold something that Optuna has not written."""

Groups = Mapping[int, list[Sequence[Any]]]
"""ID of a trial or study -> its rows in a table."""


def makes_known_tables() -> bool:
    """Whether the installed Optuna makes the tables of version ``NEWEST``."""
    migrations = Path(optuna.__file__).parent / "storages" / "_rdb" / "alembic" / "versions"
    return len(list(migrations.glob("v*.py"))) == MIGRATIONS


@dataclass(frozen=True)
class Tables:
    """The studies of a storage, and the trials of some.

    Args:
        studies: ID -> study, in the order of the IDs.
        trials: ID of a study -> ID -> trial, in the order of the IDs; studies whose trials were not asked for are missing.
    """

    studies: Mapping[int, FrozenStudy]
    trials: Mapping[int, Mapping[int, FrozenTrial]]


def read_tables(file: Path, name: str | None = None) -> Tables | None:
    """Read the studies of an SQLite file in one transaction; nothing is written.

    Args:
        file: the database.
        name: name of the study whose trials are read; None for all.

    Returns:
        None if the tables are of another version, or cannot be read.
    """
    if not (optuna.__version__.startswith(READ_AS) and makes_known_tables()):
        return None
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, isolation_level=None)) as connection:
            connection.execute("BEGIN")
            versions = [version for (version,) in connection.execute("SELECT version_num FROM alembic_version")]
            if versions != [NEWEST]:
                return None
            studies = _studies(connection)
            wanted = [number for number, study in studies.items() if name in (None, study.study_name)]
            return Tables(studies, {number: _trials(connection, number) for number in wanted})
    except UNREADABLE:
        return None


def _studies(connection: sqlite3.Connection) -> dict[int, FrozenStudy]:
    def grouped(table: str, columns: str) -> Groups:
        return group(connection.execute(f"SELECT study_id, {columns} FROM {table} ORDER BY rowid"))

    directions = grouped("study_directions", "direction")
    own, system = (grouped(f"study_{kind}_attributes", "key, value_json") for kind in ("user", "system"))
    return {
        study: FrozenStudy(
            name,
            None,
            _attributes(own.get(study, ())),
            _attributes(system.get(study, ())),
            study,
            directions=[StudyDirection[direction] for (direction,) in directions.get(study, ())],
        )
        for study, name in connection.execute("SELECT study_id, study_name FROM studies ORDER BY study_id")
    }


def _trials(connection: sqlite3.Connection, study: int) -> dict[int, FrozenTrial]:
    def grouped(table: str, columns: str) -> Groups:
        of_study = "trial_id IN (SELECT trial_id FROM trials WHERE study_id = ?)"
        query = f"SELECT trial_id, {columns} FROM {table} WHERE {of_study} ORDER BY rowid"
        return group(connection.execute(query, (study,)))

    columns = "trial_id, number, state, datetime_start, datetime_complete"
    rows = connection.execute(f"SELECT {columns} FROM trials WHERE study_id = ? ORDER BY trial_id", (study,))
    return frozen_trials(
        TrialRows(
            [(trial, number, TrialState[state], _time(start), _time(end)) for trial, number, state, start, end in rows],
            params=grouped("trial_params", "param_name, param_value, distribution_json"),
            values=grouped("trial_values", "objective, value, value_type"),
            reports=grouped("trial_intermediate_values", "step, intermediate_value, intermediate_value_type"),
            user=grouped("trial_user_attributes", "key, value_json"),
            system=grouped("trial_system_attributes", "key, value_json"),
        )
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


@dataclass(frozen=True)
class TrialRows:
    """Trials as the tables hold them.

    Args:
        trials: ID, number, state, and in UTC start and end, of each trial.
        params: ID of a trial -> name, internal value and distribution of its parameters.
        values, reports: ID of a trial -> objective or step, number, and the name of its type.
        user, system: ID of a trial -> name and JSON of its attributes.
    """

    trials: Sequence[tuple[int, int, TrialState, datetime | None, datetime | None]]
    params: Groups
    values: Groups
    reports: Groups
    user: Groups
    system: Groups


def frozen_trials(rows: TrialRows) -> dict[int, FrozenTrial]:
    """ID -> trial, in the order of the rows."""
    distribution = cache(json_to_distribution)  # trials have them in common
    return {
        trial: FrozenTrial(
            number=number,
            state=state,
            value=None,
            values=_values(rows.values.get(trial, ())),
            datetime_start=_local(start),
            datetime_complete=_local(end),
            **_params(rows.params.get(trial, ()), distribution),
            user_attrs=_attributes(rows.user.get(trial, ())),
            system_attrs=_attributes(rows.system.get(trial, ())),
            intermediate_values={step: _number(value, kind) for step, value, kind in rows.reports.get(trial, ())},
            trial_id=trial,
        )
        for trial, number, state, start, end in rows.trials
    }


def group(rows: Iterable[Sequence[Any]]) -> Groups:
    """Rows by their first column, without it."""
    found: dict[int, list[Sequence[Any]]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(row[1:])
    return found


def _attributes(rows: Iterable[Sequence[Any]]) -> dict[str, Any]:
    return {key: json.loads(value) for key, value in rows}


def _params(rows: Sequence[Sequence[Any]], distribution: Callable[[str], BaseDistribution]) -> dict[str, Any]:
    known = {name: distribution(text) for name, _, text in rows}
    return {
        "params": {name: known[name].to_external_repr(value) for name, value, _ in rows},
        "distributions": known,
    }


def _values(rows: Iterable[Sequence[Any]]) -> list[float] | None:
    known = {objective: _number(value, kind) for objective, value, kind in rows}
    return [known[objective] for objective in range(len(known))] if known else None


def _number(value: float | None, kind: str) -> float:
    if kind == "FINITE" and value is not None:
        return value
    return NOT_FINITE[kind]


def _local(moment: datetime | None) -> datetime | None:
    """A time in the local time zone; Optuna keeps it in UTC."""
    return None if moment is None else moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
