"""Studies that another program made: told apart before anything is read from them or written into them."""

from __future__ import annotations

import optuna
from optuna.trial import TrialState

from dfkd_tune.errors import NotFound, StudyMismatch
from dfkd_tune.locations.paths import without_credentials
from dfkd_tune.search.attributes import IDENTITY, POOL, RECIPE, SESSIONS
from dfkd_tune.training import metrics as metric

AGREED = {"teacher", "features", "objective", "seed", "bank", "space"}
"""What the identity of every study says."""
FIGURES = {metric.RMSE: int | float, metric.PARAMETERS: int | float, metric.SECONDS: int | float, RECIPE: str}
"""What every complete trial says."""


def refuse_foreign(study: optuna.Study, storage_url: str, reading: bool = False) -> None:
    """Refuse a study that another program made; nothing is written into it.

    Args:
        study: on record.
        storage_url: where.
        reading: it is only looked at, and must have been set up.

    Raises:
        StudyMismatch: another program made it, or a part of it.
        NotFound: it is only looked at, and whoever began it did not set it up.
    """
    place, shown = f"study {study.study_name!r}", without_credentials(storage_url)
    elsewhere = "take another name, or another --storage"
    known, trials = study.user_attrs, study.get_trials(deepcopy=False)
    if IDENTITY not in known and SESSIONS in known and not trials:
        if reading:
            raise NotFound(place, "was begun, but never set up", remedy="run dfkd-tune study again")
        return
    identity = known.get(IDENTITY)
    if not (isinstance(identity, dict) and identity.keys() >= AGREED and isinstance(known.get(POOL), int)):
        raise StudyMismatch(place, f"in {shown} was not made by dfkd-tune", remedy=elsewhere)
    for trial in trials:
        told = trial.user_attrs
        if trial.state == TrialState.COMPLETE and not all(isinstance(told.get(k), t) for k, t in FIGURES.items()):
            rule = f"in {shown} holds trial {trial.number}, which dfkd-tune did not make"
            raise StudyMismatch(place, rule, remedy=elsewhere)
