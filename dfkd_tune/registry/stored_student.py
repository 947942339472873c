"""Load students from their MLflow runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.connection import guarded
from dfkd_tune.tracking.run_lookup import fetch, find_run, require_study

if TYPE_CHECKING:
    from mlflow.entities import Run
    from torch import nn


def load_trial(
    uri: str, study: str, trial: int | None, within: float | None = None
) -> tuple[nn.Module, dict[str, Any], Run]:
    """The student, its ``result.json`` and its MLflow run; arguments and errors are those of ``find_run``."""
    require_study(uri, study, trial)
    with guarded(uri):
        run = find_run(uri, study, trial, within=within)
    from dfkd_tune.export.student_files import read_student  # PyTorch, for which a refusal does not wait

    with fetch(uri, run.info.run_id) as folder:
        return *read_student(folder, run.data.tags.get(tag.STUDENT_SHA256)), run
