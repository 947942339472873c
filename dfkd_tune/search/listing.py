"""List the studies of a storage."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from dfkd_tune.errors import NotFound, StudyMismatch
from dfkd_tune.locations.paths import existing, optuna_url
from dfkd_tune.search.attributes import StudyRecord
from dfkd_tune.search.foreign import refuse_foreign
from dfkd_tune.search.loaded import recorded


@dataclass(frozen=True)
class ListedStudy:
    """One study of a storage.

    Args:
        name: name of the study.
        teacher, tier, objective: what was recorded of it; None for a study of another program, or one that was never set up.
        trials: state in lower case -> number of trials, those that have not begun left out.
        total: number of trials that it was last asked for; None if unknown.
        best: smallest objective of a complete trial; None without one, and for a study of another program.
        foreign: whether another program made it.
        changed: last time a trial began or ended; None before the first.
    """

    name: str
    teacher: str | None
    tier: str | None
    objective: str | None
    trials: dict[str, int]
    total: int | None
    best: float | None
    foreign: bool
    changed: datetime | None

    def plain(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return vars(self) | {"changed": self.changed.isoformat(timespec="seconds") if self.changed else None}


def listed(storage_url: str) -> list[ListedStudy]:
    """The studies of a storage, the last changed first.

    Raises:
        StorageError: the storage cannot be read.
        NotFound: there is no storage.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = recorded(existing(optuna_url(storage_url), "a study"))
    found = [
        _listed(optuna.load_study(study_name=name, storage=storage)) for name in optuna.get_all_study_names(storage)
    ]
    return sorted(found, key=lambda study: study.changed or datetime.min, reverse=True)


def last_changed(storage_url: str) -> str:
    """Name of the only or the last changed study.

    Raises:
        NotFound: there is none.
    """
    ours = [study for study in listed(storage_url) if study.teacher is not None]
    if not ours:
        raise NotFound("the storage", "holds no study", remedy="dfkd-tune study starts one")
    return ours[0].name


def _listed(study: optuna.Study) -> ListedStudy:
    known, trials = StudyRecord.of(study), study.get_trials(deepcopy=False)
    begun = [trial for trial in trials if trial.datetime_start is not None]
    counts: dict[str, int] = {}
    for trial in begun:
        counts[trial.state.name.lower()] = counts.get(trial.state.name.lower(), 0) + 1
    changed = max((_last(trial) for trial in begun), default=None)
    if _is_foreign(study):  # its attributes may hold anything
        return ListedStudy(study.study_name, None, None, None, counts, None, None, True, changed)
    values = [trial.values[0] for trial in begun if trial.values and trial.state == TrialState.COMPLETE]
    return ListedStudy(
        study.study_name,
        known.teacher,
        known.tier,
        known.objective,
        counts,
        (known.spec or {}).get("study", {}).get("trials"),
        min(values, default=None),
        False,
        changed,
    )


def _last(trial: FrozenTrial) -> datetime:
    moment = trial.datetime_complete or trial.datetime_start
    assert moment is not None  # only trials that have begun are asked
    return moment


def _is_foreign(study: optuna.Study) -> bool:
    """Whether another program made a study; one that was begun, but never set up, is ours."""
    try:
        refuse_foreign(study, "")
    except StudyMismatch:
        return True
    return False
