"""Write a student as one file that loads without this package, and compare the file with the student."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dfkd_tune.errors import ExportError
from dfkd_tune.export.formats.base import ExportFormat
from dfkd_tune.export.formats.kinds import EXPORTS
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.locations.files import write_output
from dfkd_tune.training.raw_evaluation import ExportedStudent

TOLERANCE = 1e-5
"""Largest difference allowed between outputs of file and student, relative to ``1 + largest output``."""


def read_flat(form: ExportFormat, data: bytes, module: nn.Module, units: InputSchema) -> Callable[[Tensor], Tensor]:
    """The content of a file as a function from raw rows ``(N, D)`` to raw outputs ``(N, O)``; a drop-in student is asked
    as its teacher is."""
    answer = form.read(data, module)
    return units.flat(answer) if form.drop_in else answer


def export(
    module: nn.Module,
    units: InputSchema,
    kind: str,
    out: Path,
    evaluator: Callable[[ExportedStudent], Any] | None = None,
) -> tuple[float, Any]:
    """Write a student as one file with its feature names, and check that its outputs are the student's.

    Args:
        module: network from raw rows to raw outputs, in evaluation mode.
        units: schema of its inputs.
        kind: export format, a name in ``formats.kinds.EXPORTS``.
        out: path of the file.
        evaluator: evaluates the student read back from the file; if it raises, no file is written.

    Returns:
        the largest difference between outputs of file and student, in the teacher's units, and the result of ``evaluator``.

    Raises:
        ExportError: if the file cannot be written, or its outputs or feature names differ from the student's.
    """
    known = EXPORTS[kind]
    data = known.write(module, units)
    answer = read_flat(known, data, module, units)
    if known.feature_names(data) != units.names:
        raise ExportError(out, "the file does not hold the feature names", remedy="try another --format")
    worst = 0.0
    for x in (units.rows, units.rows[:1]):
        with torch.no_grad():
            expected = module(x)
            gaps = (answer(x) - expected).abs()
            differs = float((gaps - units.steps(expected)).max().clamp(min=0.0)) if known.drop_in else float(gaps.max())
        if not differs <= TOLERANCE * (1 + float(expected.abs().max())):
            raise ExportError(
                out, f"outputs of the file differ from the student's by {differs:g}", remedy="try another --format"
            )
        worst = max(worst, differs)
    measured = (
        evaluator(units.student(answer, sum(p.numel() for p in module.parameters()))) if evaluator is not None else None
    )
    write_output(out, data)
    return worst, measured
