"""How fast a recorded student is beside its teacher, measured here and kept on its certificate."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfkd_tune.errors import TrackingError
from dfkd_tune.evaluation.certificate import Certificate
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.export.speed import Timing, called, measure, runtimes
from dfkd_tune.locations.paths import without_credentials
from dfkd_tune.registry import certificates
from dfkd_tune.registry.certificate_files import FOLDER, JSON, is_certified
from dfkd_tune.registry.register import evaluator_of
from dfkd_tune.registry.sources import Sources
from dfkd_tune.registry.stored_student import load_trial
from dfkd_tune.tracking.connection import open_client
from dfkd_tune.tracking.run_lookup import fetch
from dfkd_tune.utils import hardware
from dfkd_tune.utils.seeding import stream

if TYPE_CHECKING:
    from mlflow.entities import Run

ROWS = (1, 1_000)
"""Numbers of rows of a call."""
SPEED = "speed"
"""Key of the timings among what a certificate says of its student."""


def student_latency(uri: str, study: str, trial: int | None, sources: Sources) -> tuple[list[Timing], bool]:
    """Time a recorded student and its teacher; returns the timings, and whether they are on its certificate now.

    Args:
        uri: MLflow tracking URI.
        study: name of the study.
        trial: number of the trial; None for the promoted student.
        sources: current paths of teacher and features, if they have moved.

    Raises:
        NotFound: the student or its teacher is not there.
        StudyMismatch: the teacher is another than the recorded one.
        TrackingError: MLflow refused the certificate.
    """
    module, result, run = load_trial(uri, study, trial)
    evaluator, units = evaluator_of(uri, study, run, sources, "a timing"), InputSchema.of(result)
    z = evaluator.inputs.draw(max(ROWS), stream(evaluator.seed, SPEED)).float()
    raw = [
        tuple(evaluator.inputs.raw(z[:count], dtype) for dtype in (evaluator.teacher.dtype, units.encoding.torch_dtype))
        for count in ROWS
    ]
    # The function itself, without the checks of its answers that a study needs.
    found = measure(called(evaluator.teacher.function), runtimes(module, units), [(a, b) for a, b in raw])
    return found, _on_certificate(uri, run, found)


def _on_certificate(uri: str, run: Run, found: Sequence[Timing]) -> bool:
    """Put the timings on the certificate of a run; False if it has none."""
    from mlflow.exceptions import MlflowException

    if not is_certified(uri, run):
        return False
    with fetch(uri, run.info.run_id, FOLDER) as folder:
        tree: dict[str, Any] = json.loads((folder / JSON).read_text(encoding="utf-8"))
    known = Certificate.of(tree)
    known.student[SPEED] = [asdict(each) | {"machine": hardware.name()} for each in found]
    try:
        with tempfile.TemporaryDirectory() as name:
            certificates.write(known, Path(name))
            open_client(uri).log_artifacts(run.info.run_id, name, FOLDER)
    except MlflowException as error:
        reason = without_credentials(str(error).splitlines()[0])
        raise TrackingError(without_credentials(uri), f"refused a certificate: {reason}") from None
    return True
