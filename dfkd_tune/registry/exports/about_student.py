"""What a file says of its student to a reader: where it comes from, its hashes and its certificate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dfkd_tune.errors import ExportError
from dfkd_tune.evaluation.certificate import Certificate
from dfkd_tune.registry.certificate_files import FOLDER, JSON, is_certified
from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.run_lookup import fetch, trial_of
from dfkd_tune.training import metrics as metric

if TYPE_CHECKING:
    from mlflow.entities import Run


def about_student(uri: str, study: str, run: Run, result: Mapping[str, Any]) -> tuple[str, ...]:
    """Lines about a recorded student.

    Args:
        uri, study, run: MLflow tracking URI, study and run.
        result: its ``result.json``.
    """
    trial = trial_of(run)
    which = "the untuned baseline" if trial is None else f"trial {trial}"
    lines = [
        f"Study {study}, {which}, run {run.info.run_id}.",
        f"SHA-256 of the student's recorded files: {run.data.tags.get(tag.STUDENT_SHA256, 'not recorded')}.",
        f"SHA-256 of the teacher: {result.get('teacher_sha256', 'not recorded')}.",
        f"RMSE to the teacher, as trained: {float(result[metric.RMSE]):.4g} on the selection bank.",
    ]
    return (*lines, *_certificate(uri, run))


def _certificate(uri: str, run: Run) -> list[str]:
    if not is_certified(uri, run):
        return ["It has no certificate: dfkd-tune register makes one."]
    with fetch(uri, run.info.run_id, FOLDER) as folder:
        try:
            certificate = Certificate.of(json.loads((folder / JSON).read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise ExportError(JSON, f"cannot be read: {error}") from None
    said = certificate.statement
    return [
        "Certificate, of the student in float32:",
        *said["holds"],
        "It promises nothing of:",
        *said["does_not_hold"],
    ]
