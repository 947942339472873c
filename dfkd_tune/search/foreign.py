"""Refuse studies that another program made, before anything is read from them or written to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import TrialState

from dfkd_tune.errors import NotFound, StudyMismatch
from dfkd_tune.locations.paths import without_credentials
from dfkd_tune.search.attributes import IDENTITY, POOL, RECIPE, SESSIONS, TOTAL
from dfkd_tune.training import metrics as metric

AGREED = {"teacher", "features", "objective", "seed", "space"}
"""Keys in the identity of every study of this program."""
FIGURES = {metric.RMSE: int | float, metric.PARAMETERS: int | float, metric.SECONDS: int | float, RECIPE: str}
"""Attributes of every complete trial of this program, with their types."""


def refuse_foreign(study: optuna.Study, storage_url: str, reading: bool = False) -> None:
    """Refuse a study that another program made; writes nothing.

    Args:
        study: the recorded study.
        storage_url: URL of its storage.
        reading: whether the study is only read; it must then be set up.

    Raises:
        StudyMismatch: another program made the study or one of its trials.
        NotFound: ``reading``, and the study was created but never set up.
    """
    place, shown = f"study {study.study_name!r}", without_credentials(storage_url)
    elsewhere = "take another name, or another --storage"
    known, trials = study.user_attrs, study.get_trials(deepcopy=False)
    if IDENTITY not in known and SESSIONS in known and not trials:
        if reading:
            raise NotFound(place, "was begun, but never set up", remedy="run dfkd-tune study again")
        return
    identity = known.get(IDENTITY)
    if not (isinstance(identity, dict) and identity.keys() >= AGREED and _has_rows(known)):
        raise StudyMismatch(place, f"in {shown} was not made by dfkd-tune", remedy=elsewhere)
    for trial in trials:
        attributes = trial.user_attrs
        if trial.state == TrialState.COMPLETE and not all(isinstance(attributes.get(k), t) for k, t in FIGURES.items()):
            rule = f"in {shown} holds trial {trial.number}, which dfkd-tune did not make"
            raise StudyMismatch(place, rule, remedy=elsewhere)


def _has_rows(known: Mapping[str, Any]) -> bool:
    """Whether a study says what its trials train on: a pool, or a total number of queries."""
    return isinstance(known.get(POOL), int) or isinstance(known.get(TOTAL), int)
