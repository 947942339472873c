"""What is certified is what was shipped: an exported student, reloaded, against the teacher as its file loads, on exact raw rows.

Nothing here takes the short cuts of training: rows are raw, each side gets them in its own dtype, and no unit is folded away.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from dfkd_tune.errors import ExportError
from dfkd_tune.inputs.encoding import Encode
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.teachers.base import Teacher, dtype_of
from dfkd_tune.utils.seeding import stream

CHUNK_ROWS = 2_048
FRESH_ROWS, FRESH_LIMIT_S = 65_536, 5.0
"""Rows that a figure is measured on where a file is written: the tail of the gaps blurs it on fewer."""
ROUNDING = 0.01
"""Share by which the RMSE of an exported student may differ from what its training recorded."""
NEGLIGIBLE = 2e-5
"""The same where both are next to nothing, in standard deviations of the teacher."""


@dataclass(frozen=True)
class ExportedStudent:
    """An exported student, reloaded.

    Args:
        answer: raw rows ``(N, D)`` of ``dtype`` to outputs ``(N, O)``.
        dtype: of its input.
        parameters: trained values.
    """

    answer: Callable[[Tensor], Tensor]
    dtype: torch.dtype
    parameters: int

    @classmethod
    def of(cls, module: nn.Module, dtype: torch.dtype | None = None) -> ExportedStudent:
        """A module in evaluation mode, which tells its dtype where none is given."""
        return cls(module, dtype or input_dtype(module), sum(p.numel() for p in module.parameters()))


@dataclass(frozen=True)
class RawEvaluator:
    """A teacher as its file loads, and the rows that students are held against it on.

    Args:
        teacher: in raw units.
        inputs: whose rows they are.
        seed: of the banks.
        rows: of a bank.
    """

    teacher: Teacher
    inputs: Inputs
    seed: int
    rows: int

    def held(self, student: ExportedStudent, bank: str = "selection") -> tuple[Tensor, Tensor]:
        """Outputs of the teacher and of a student on a bank, ``(N, O)`` each, float64, in the teacher's units."""
        z = self.inputs.draw(self.rows, stream(self.seed, bank)).float()
        return outputs(self.teacher, self.inputs, z), outputs_of(student, self.inputs, z)

    def rmse(self, student: ExportedStudent, bank: str = "selection") -> float:
        """Root mean square difference on a bank, in the teacher's units."""
        theirs, ours = self.held(student, bank)
        return float((ours - theirs).square().mean().sqrt())


def input_dtype(module: nn.Module) -> torch.dtype:
    """The dtype of raw rows that a module takes: as it was exported with, or that of its first step or its weights."""
    encode = next((part for part in module.modules() if isinstance(part, Encode)), None)
    if encode is not None:
        return encode.encoding.torch_dtype
    if isinstance(module, torch.fx.GraphModule):
        taken = (node.meta.get("val") for node in module.graph.nodes if node.op == "placeholder")
        for value in taken:
            if isinstance(value, Tensor) and value.is_floating_point():
                return value.dtype
    return dtype_of(module)


def fresh_rmse(evaluator: RawEvaluator, student: ExportedStudent) -> tuple[float, int]:
    """RMSE in the teacher's units on prior rows that neither trained nor chose anything, and how many they were.

    As many as ``FRESH_ROWS``; fewer, but those of a bank at least, of a teacher that takes longer than ``FRESH_LIMIT_S`` for them.
    """
    rng, total, count = stream(evaluator.seed, "shipped"), 0.0, 0
    until = time.monotonic() + FRESH_LIMIT_S
    while count < evaluator.rows or (count < FRESH_ROWS and time.monotonic() < until):
        z = evaluator.inputs.draw(CHUNK_ROWS, rng).float()
        gap = outputs_of(student, evaluator.inputs, z) - outputs(evaluator.teacher, evaluator.inputs, z)
        total, count = total + float(gap.square().mean(1).sum()), count + len(z)
    return math.sqrt(total / count), count


def outputs(teacher: Teacher, inputs: Inputs, z: Tensor) -> Tensor:
    """The teacher's outputs ``(N, O)`` at standardized rows, as its file loads, float64, in its units.

    Args:
        teacher: in raw units, on the host.
        inputs: whose rows they are.
        z: ``(N, D)``, as declared.
    """
    plain = replace(teacher, fast=None)
    with torch.no_grad():
        return torch.cat([plain(inputs.raw(part.cpu(), plain.dtype)).double() for part in z.split(CHUNK_ROWS)])


def outputs_of(student: ExportedStudent, inputs: Inputs, z: Tensor) -> Tensor:
    """A student's outputs ``(N, O)`` at standardized rows, float64, in the teacher's units."""
    with torch.no_grad():
        parts = [student.answer(inputs.raw(part.cpu(), student.dtype)).double() for part in z.split(CHUNK_ROWS)]
    y = torch.cat(parts)
    return y[:, None] if y.ndim == 1 else y


def agree(place: object, exported: float, recorded: float, spread: float) -> None:
    """See that an exported student is as near to the teacher as its training said.

    Args:
        place: of the student, for the message.
        exported: RMSE of the reloaded student against the teacher as its file loads.
        recorded: RMSE on the same rows in training.
        spread: standard deviation of the teacher's outputs.

    Raises:
        ExportError: with both figures, where they differ by more than rounding.
    """
    if not abs(exported - recorded) <= ROUNDING * max(exported, recorded) + NEGLIGIBLE * spread:
        rule = f"the exported student has RMSE {exported:.4g} to the teacher, its training recorded {recorded:.4g} on the same rows"
        raise ExportError(place, rule, remedy="distill it again with the teacher and the features file as they are now")
