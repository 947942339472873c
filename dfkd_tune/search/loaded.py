"""Studies on record, to look at."""

from __future__ import annotations

from typing import Any

import optuna

from dfkd_tune.errors import DfkdError, NotFound, StorageError
from dfkd_tune.locations.paths import existing, optuna_url, sqlite_file
from dfkd_tune.locations.sqlite_files import check, readable
from dfkd_tune.search.attributes import WORKER, StudyRecord
from dfkd_tune.search.foreign import refuse_foreign
from dfkd_tune.search.storage import DAMAGED, open_storage


def load_study(storage_url: str, name: str) -> optuna.Study:
    """An existing study, to look at; where nothing can be written, of a copy of its database.

    Raises:
        NotFound: when there is none of that name, the message naming those that exist.
        StudyMismatch: another program made it.
        StorageError: its database cannot be read.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = existing(optuna_url(storage_url), f"study {name!r}")
    check(url, StorageError, DAMAGED)
    storage = open_storage(readable(url))
    try:
        study = optuna.load_study(study_name=name, storage=storage)
    except KeyError:
        known = ", ".join(optuna.get_all_study_names(storage)) or "none"
        raise NotFound(f"study {name!r}", "does not exist here", remedy=f"known: {known}") from None
    refuse_foreign(study, url, reading=True)
    return study


def recorded_population(storage_url: str, name: str, trials: int) -> tuple[int | None, int]:
    """The population that a study was recorded with, None where it is new, and how many of so many trials have not ended."""
    file = sqlite_file(storage_url)
    if file is not None and not file.exists():
        return None, trials
    try:
        study = load_study(storage_url, name)
    except DfkdError:  # whoever opens it for good says what is wrong
        return None, trials
    ended = sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))
    return StudyRecord.of(study).population, max(0, trials - ended)


def plain_trial(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    """A trial as plain values, without the process that ran it."""
    return {
        "number": trial.number,
        "state": trial.state.name,
        "value": trial.values[0] if trial.values else None,
        "values": trial.values,
        "params": trial.params,
        "attributes": {name: value for name, value in trial.user_attrs.items() if name != WORKER},
    }
