"""Load recorded studies for reading."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import optuna
from optuna.storages import BaseStorage

from dfkd_tune.errors import DfkdError, NotFound
from dfkd_tune.locations.paths import existing, optuna_url, sqlite_file
from dfkd_tune.locations.sqlite_files import readable
from dfkd_tune.search.attributes import RECIPE, WORKER, StudyRecord
from dfkd_tune.search.foreign import refuse_foreign
from dfkd_tune.search.sqlite.integrity import require_intact
from dfkd_tune.search.sqlite.snapshot import snapshot


def load_study(storage_url: str, name: str) -> optuna.Study:
    """Load an existing study for reading; from a copy of its database if that cannot be written.

    From an SQLite file it is read at once, and stays as it is at this moment.

    Raises:
        NotFound: no study has that name; the message lists those that exist.
        StudyMismatch: another program made the study.
        StorageError: the database cannot be read.
    """
    url = existing(optuna_url(storage_url), f"study {name!r}")
    return _load(recorded(url, name), url, name)


def live_study(storage_url: str, name: str) -> optuna.Study:
    """Load an existing study that may be written, and is read again whenever it is asked. Raises as ``load_study`` does."""
    from dfkd_tune.search.storage import open_storage

    url = existing(optuna_url(storage_url), f"study {name!r}")
    require_intact(url)
    return _load(open_storage(readable(url)), url, name)


def recorded(url: str, name: str | None = None) -> BaseStorage:
    """A storage for reading alone.

    Args:
        url: its URL.
        name: name of the study whose trials are read; None for all.

    Raises:
        StorageError: the database cannot be read.
    """
    require_intact(url)
    readable_url = readable(url)
    file = sqlite_file(readable_url)
    found = None if file is None else snapshot(file, name)
    if found is not None:
        return found
    from dfkd_tune.search.storage import open_storage  # SQLAlchemy takes longer to import than Optuna

    return open_storage(readable_url)


def _load(storage: BaseStorage, url: str, name: str) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.load_study(study_name=name, storage=storage)
    except KeyError:
        known = ", ".join(optuna.get_all_study_names(storage)) or "none"
        raise NotFound(f"study {name!r}", "does not exist here", remedy=f"known: {known}") from None
    refuse_foreign(study, url, reading=True)
    return study


class Recorded(NamedTuple):
    """How a study on record runs: its population and groups, None for a new one, and the number of trials that have not ended."""

    population: int | None
    groups: int | None
    left: int


def recorded_parallelism(storage_url: str, name: str, trials: int) -> Recorded:
    """How a study of ``trials`` trials on record runs."""
    file = sqlite_file(storage_url)
    if file is not None and not file.exists():
        return Recorded(None, None, trials)
    try:
        study = load_study(storage_url, name)
    except DfkdError:  # reported when the study is opened for writing
        return Recorded(None, None, trials)
    ended = sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))
    record = StudyRecord.of(study)
    return Recorded(record.population, record.groups, max(0, trials - ended))


def plain_trial(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    """A trial as plain values, its recipe among them, without the name of its worker."""
    attributes = {name: value for name, value in trial.user_attrs.items() if name != WORKER}
    if RECIPE in attributes:
        attributes[RECIPE] = json.loads(attributes[RECIPE])
    return {
        "number": trial.number,
        "state": trial.state.name,
        "value": trial.values[0] if trial.values else None,
        "values": trial.values,
        "params": trial.params,
        "attributes": attributes,
    }
