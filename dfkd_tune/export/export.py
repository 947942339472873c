"""Write a student as one file that loads without this package, and compare the file with the student."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dfkd_tune.errors import ExportError
from dfkd_tune.export.formats.base import ExportFormat
from dfkd_tune.export.formats.kinds import chosen
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.locations.files import write_output
from dfkd_tune.training.raw_evaluation import ExportedStudent

TOLERANCE = 5e-5
"""Largest difference allowed between outputs of file and student, in standard deviations of that output, beyond ``STEPS``."""
STEPS = 16
"""Largest difference allowed in any case, in steps of float32 at the largest answer of that output."""
SCALE_ROWS = 256
"""Rows on which an output's standard deviation is found. The example rows may be one alone."""
COMPARED_ROWS = 8_000
"""Rows on which a file that takes rows is compared with its student."""


def read_flat(form: ExportFormat, data: bytes, module: nn.Module, units: InputSchema) -> Callable[[Tensor], Tensor]:
    """The content of a file as a function from raw rows ``(N, D)`` to raw outputs ``(N, O)``; a drop-in student is asked
    as its teacher is."""
    answer = form.read(data, module)
    return units.flat(answer) if form.drop_in else answer


def allowed(student: nn.Module, units: InputSchema) -> Tensor:
    """Differences ``(O,)`` that are rounding, by the answers of a student at example rows and around the center of its inputs."""
    dtype, rng = units.rows.dtype, torch.Generator().manual_seed(0)
    center, scale = (torch.tensor(each, dtype=dtype) for each in (units.encoding.center, units.encoding.scale))
    rows = center + scale * torch.randn(SCALE_ROWS, len(center), generator=rng, dtype=dtype)
    with torch.no_grad():
        y = torch.cat([student(units.rows), student(rows)])
    return TOLERANCE * y.std(0) + STEPS * torch.finfo(torch.float32).eps * y.abs().amax(0)


def difference(answers: Tensor, expected: Tensor, steps: Tensor, most: Tensor) -> tuple[float, bool]:
    """Largest difference between outputs ``(N, O)`` of a file and of its student, and whether it is rounding for every output.

    Args:
        answers, expected: outputs of the file and of the student.
        steps: distances between neighboring numbers of the outputs' dtypes, which do not count.
        most: what is ``allowed``; outputs of different scale are judged each by itself.
    """
    gaps = ((answers - expected).abs() - steps).clamp(min=0.0)
    return float(gaps.max()), bool((gaps.amax(0) <= most).all())


def compared_rows(form: ExportFormat, units: InputSchema) -> Tensor:
    """Raw rows on which a file and its student are compared: ``COMPARED_ROWS``, or the example rows alone where the teacher's own
    arguments hold whole numbers and truth values, which a made row may miss."""
    return units.rows if form.drop_in and units.layout is not None else units.more_rows(COMPARED_ROWS)


def export(
    module: nn.Module,
    units: InputSchema,
    kind: str,
    out: Path,
    evaluator: Callable[[ExportedStudent], Any] | None = None,
    libm: bool = True,
    guard: bool = False,
) -> tuple[float | None, Any]:
    """Write a student as one file with its feature names, and check that its outputs are the student's.

    Args:
        module: network from raw rows to raw outputs, in evaluation mode.
        units: schema of its inputs.
        kind: export format, a name in ``formats.kinds.EXPORTS``.
        out: path of the file.
        evaluator: evaluates the student read back from the file; if it raises, no file is written.
        libm: whether the file may call functions of libm (``ExportFormat.without_libm``).
        guard: whether it says which rows are in the student's domain (``ExportFormat.guarded``).

    Returns:
        the largest difference between outputs of file and student, in the teacher's units, and the result of ``evaluator``;
        None for both if no file of the format can be read here (``ExportFormat.unread``).

    Raises:
        ExportError: if the file cannot be written, or its outputs or feature names differ from the student's.
    """
    known = chosen(kind, libm, guard)
    units = replace(units, stem=out.stem)
    data = known.write(module, units)
    if known.feature_names(data) != units.names:
        raise ExportError(out, "the file does not hold the feature names", remedy="try another --format")
    compared = (None, None) if known.unread() else _compared(known, data, module, units, out, evaluator)
    write_output(out, data)
    for suffix, content in known.beside(data).items():
        write_output(out.with_suffix(suffix), content)
    return compared


def _compared(
    form: ExportFormat,
    data: bytes,
    module: nn.Module,
    units: InputSchema,
    out: Path,
    evaluator: Callable[[ExportedStudent], Any] | None,
) -> tuple[float, Any]:
    """What ``export`` returns of a file that can be read."""
    answer = read_flat(form, data, module, units)
    worst, most = 0.0, allowed(module, units)
    for x in (units.rows, units.rows[:1], compared_rows(form, units)):
        with torch.no_grad():
            expected = module(x)
            steps = units.steps(expected) if form.drop_in else torch.zeros_like(expected)
            differs, rounded = difference(answer(x), expected, steps, most)
        if not rounded:
            raise ExportError(
                out, f"outputs of the file differ from the student's by {differs:g}", remedy="try another --format"
            )
        worst = max(worst, differs)
    if evaluator is None:
        return worst, None
    return worst, evaluator(units.student(answer, sum(p.numel() for p in module.parameters())))
