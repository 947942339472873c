"""Whether a study on record is the study that is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import optuna

from .errors import StudyMismatch
from .prepared import Prepared, difference
from .problem import affordable_rows


def agree(study: optuna.Study, prepared: Prepared) -> None:
    """Record the identity of a new study; refuse another one of the same name."""
    mine = json.loads(json.dumps(prepared.identity()))
    known = study.user_attrs.get("identity")
    if known is None:
        study.set_user_attr("identity", mine)
        study.set_user_attr("pool", prepared.spec.budget.pool or affordable_rows(prepared.probe))
        study.set_user_attr("teacher", Path(prepared.spec.teacher.path).name)
        study.set_user_attr("tier", prepared.inputs.tier)
    elif known != mine:
        raise StudyMismatch(
            f"study {prepared.spec.name!r}",
            f"exists with another {difference(known, mine)}",
            remedy="give --name for a new study, or restore what changed",
        )
    if prepared.spec.budget.pool not in (None, study.user_attrs.get("pool")):
        raise StudyMismatch(
            f"study {prepared.spec.name!r}",
            f"exists with budget.pool {study.user_attrs.get('pool')}",
            remedy="give --name for a new study",
        )
