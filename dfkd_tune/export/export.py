"""One student as one file that loads without this package, held against the student before it is announced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dfkd_tune.errors import ExportError
from dfkd_tune.export.formats.kinds import EXPORTS
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.locations.files import write_output
from dfkd_tune.training.raw_evaluation import ExportedStudent

TOLERANCE = 1e-5
"""Difference between a file's answers and the student's, over one and the largest answer."""


def export(
    module: nn.Module,
    units: InputSchema,
    kind: str,
    out: Path,
    evaluator: Callable[[ExportedStudent], Any] | None = None,
) -> tuple[float, Any]:
    """Write a student as one file, with the names of its features, and make sure that it answers like the student.

    Args:
        module: between raw units, in evaluation mode.
        units: of its inputs.
        kind: one of ``formats.kinds.EXPORTS``.
        out: the file.
        evaluator: measures the student as the file has it; may raise, and nothing is written then.

    Returns:
        the largest difference between the file's answers and the student's, in the teacher's units, and what ``judge`` measured.

    Raises:
        ExportError: when it cannot be written, or its copy differs.
    """
    known = EXPORTS[kind]
    data = known.write(module, units)
    answer = known.read(data, module)
    worst = 0.0
    for x in (units.rows, units.rows[:1]):
        with torch.no_grad():
            expected = module(x)
            differs = float((answer(x) - expected).abs().max())
        if not differs <= TOLERANCE * (1 + float(expected.abs().max())):
            raise ExportError(
                out, f"the copy to be written differs from the student by {differs:g}", remedy="try another --format"
            )
        worst = max(worst, differs)
    measured = (
        evaluator(units.student(answer, sum(p.numel() for p in module.parameters()))) if evaluator is not None else None
    )
    write_output(out, data)
    return worst, measured
