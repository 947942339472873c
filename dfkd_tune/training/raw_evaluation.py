"""Compare an exported and reloaded student with the teacher as its file loads. Certificates are based on this comparison.

Training works on standardized rows with a fast form of the teacher. Here rows are raw, and each model gets them in its own dtype.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from dfkd_tune.errors import ExportError
from dfkd_tune.inputs.encoding import Encode
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.teachers.base import Teacher, dtype_of
from dfkd_tune.teachers.sources import remedy_of_change
from dfkd_tune.training.rmse_words import OutputRMSE, outputs_in_words, rmse_in_words, share_in_words
from dfkd_tune.utils.seeding import stream

CHUNK_ROWS = 2_048
FRESH_ROWS, FRESH_LIMIT_S = 65_536, 5.0
"""Rows for the RMSE of an exported file, and seconds they may take. On fewer rows, rare large gaps make the RMSE noisy."""
ROUNDING = 0.01
"""Largest relative difference between an exported student's RMSE and the one recorded in training."""
NEGLIGIBLE = 2e-5
"""Difference between the two RMSE that is always accepted, in standard deviations of the teacher."""


@dataclass(frozen=True)
class ExportedStudent:
    """An exported student, reloaded.

    Args:
        answer: maps raw rows ``(N, D)`` of ``dtype`` to outputs ``(N, O)``.
        dtype: dtype of its input.
        parameters: number of trained values.
    """

    answer: Callable[[Tensor], Tensor]
    dtype: torch.dtype
    parameters: int

    @classmethod
    def of(cls, module: nn.Module, dtype: torch.dtype | None = None) -> ExportedStudent:
        """Wrap a module in evaluation mode; ``dtype`` defaults to that of the module's input."""
        return cls(module, dtype or input_dtype(module), sum(p.numel() for p in module.parameters()))


@dataclass(frozen=True)
class RawEvaluator:
    """A teacher as its file loads, and the banks on which students are compared with it.

    Args:
        teacher: the teacher, in raw units.
        inputs: prior of its inputs.
        seed: seed of the banks.
        rows: number of rows in each bank.
    """

    teacher: Teacher
    inputs: Inputs
    seed: int
    rows: int

    def held(self, student: ExportedStudent, bank: str = "selection") -> tuple[Tensor, Tensor]:
        """Outputs of teacher and student on a bank, ``(N, O)`` each, float64, in the teacher's units."""
        z = self.inputs.draw(self.rows, stream(self.seed, bank)).float()
        return outputs(self.teacher, self.inputs, z), outputs_of(student, self.inputs, z)

    def rmse(self, student: ExportedStudent, bank: str = "selection") -> float:
        """Root mean square difference on a bank, in the teacher's units."""
        return self.fidelity(student, bank).rmse

    def fidelity(self, student: ExportedStudent, bank: str = "selection") -> Measured:
        """Fidelity on a bank."""
        theirs, ours = self.held(student, bank)
        names, square = self.teacher.output_names(theirs.shape[1]), (ours - theirs).square().mean(0)
        return Measured.of(names, square, theirs.std(0), len(theirs))


def input_dtype(module: nn.Module) -> torch.dtype:
    """The dtype of a module's input: the one it was exported with, or that of its first layer or weights."""
    encode = next((part for part in module.modules() if isinstance(part, Encode)), None)
    if encode is not None:
        return encode.encoding.torch_dtype
    if isinstance(module, torch.fx.GraphModule):
        taken = (node.meta.get("val") for node in module.graph.nodes if node.op == "placeholder")
        for value in taken:
            if isinstance(value, Tensor) and value.is_floating_point():
                return value.dtype
    return dtype_of(module)


@dataclass(frozen=True)
class Measured:
    """How near an exported student is to its teacher.

    Args:
        rows: number of rows on which they were compared.
        by_output: output name -> its RMSE.
        rmse: RMSE over rows and outputs, in the teacher's units.
        relative: the same with every output in its standard deviations.
    """

    rows: int
    by_output: dict[str, OutputRMSE]
    rmse: float
    relative: float

    @classmethod
    def of(cls, names: Sequence[str], square: Tensor, spread: Tensor, rows: int) -> Measured:
        """From the mean square gap and the standard deviation ``(O,)`` of each output."""
        shares = (square.sqrt() / torch.where(spread > 0, spread, 1.0)).tolist()
        by_output = dict(zip(names, map(OutputRMSE, square.sqrt().tolist(), shares), strict=True))
        return cls(rows, by_output, float(square.mean().sqrt()), math.sqrt(sum(s * s for s in shares) / len(shares)))

    def __str__(self) -> str:
        return rmse_in_words(self.rmse, self.relative, len(self.by_output))

    @property
    def share(self) -> str:
        """The relative RMSE in words."""
        return share_in_words(self.relative, len(self.by_output))

    @property
    def outputs(self) -> str | None:
        """The RMSE of each output in words; None of one output."""
        return outputs_in_words(self.by_output) if len(self.by_output) > 1 else None


def fresh_fidelity(evaluator: RawEvaluator, student: ExportedStudent) -> Measured:
    """Fidelity on prior rows not used in training or selection.

    It uses ``FRESH_ROWS`` rows. If the teacher would take longer than ``FRESH_LIMIT_S``, it uses fewer, but at least one bank's.
    """
    rng, squares, theirs, until = stream(evaluator.seed, "shipped"), [], [], time.monotonic() + FRESH_LIMIT_S
    while (count := CHUNK_ROWS * len(theirs)) < evaluator.rows or (count < FRESH_ROWS and time.monotonic() < until):
        z = evaluator.inputs.draw(CHUNK_ROWS, rng).float()
        theirs.append(outputs(evaluator.teacher, evaluator.inputs, z))
        squares.append((outputs_of(student, evaluator.inputs, z) - theirs[-1]).square().mean(0))
    spread = torch.cat(theirs).std(0)
    return Measured.of(evaluator.teacher.output_names(len(spread)), torch.stack(squares).mean(0), spread, count)


def outputs(teacher: Teacher, inputs: Inputs, z: Tensor) -> Tensor:
    """Outputs ``(N, O)`` of the teacher as its file loads at standardized rows; float64, in its units.

    Args:
        teacher: the teacher, in raw units on the CPU.
        inputs: prior of its inputs, which converts the rows to raw units.
        z: standardized rows ``(N, D)`` within the declared ranges and levels.
    """
    plain = replace(teacher, fast=None)
    with torch.no_grad():
        return torch.cat([plain(inputs.raw(part.cpu(), plain.dtype)).double() for part in z.split(CHUNK_ROWS)])


def outputs_of(student: ExportedStudent, inputs: Inputs, z: Tensor) -> Tensor:
    """Outputs ``(N, O)`` of an exported student at standardized rows; float64, in the teacher's units."""
    with torch.no_grad():
        parts = [student.answer(inputs.raw(part.cpu(), student.dtype)).double() for part in z.split(CHUNK_ROWS)]
    y = torch.cat(parts)
    return y[:, None] if y.ndim == 1 else y


def shipped(place: object, evaluator: RawEvaluator, student: ExportedStudent, recorded: Sequence[float]) -> Measured:
    """Fidelity of an exported student on fresh rows, after ``agree`` on the selection bank.

    Args:
        place: name of the student for the error message.
        evaluator: its teacher and banks.
        student: the exported student, reloaded.
        recorded: RMSE of each output on the selection bank in training, as ``metrics.by_output`` finds them.

    Raises:
        ExportError: as ``agree`` does.
    """
    agree_by_output(place, *evaluator.held(student), recorded, evaluator.inputs, evaluator.teacher.source)
    return fresh_fidelity(evaluator, student)


def rounding(inputs: Inputs, y: Tensor) -> Tensor:
    """Root mean square errors ``(O,)``, at most, with which a drop-in student rounds outputs ``(N, O)`` to its teacher's dtypes."""
    return torch.zeros_like(y[0]) if inputs.layout is None else (inputs.layout.steps(y) / 2).square().mean(0).sqrt()


def agree_by_output(
    place: object, theirs: Tensor, ours: Tensor, recorded: Sequence[float], inputs: Inputs, source: str
) -> None:
    """Check each output by itself, because the largest would hide the others; errors are those of ``agree``.

    Args:
        place: name of the student for the error message.
        theirs, ours: outputs ``(N, O)`` of teacher and student on the selection bank.
        recorded: RMSE of each output on the same rows in training.
        inputs: prior of the inputs, whose layout says how outputs are rounded.
        source: what names the teacher, which decides what can be done.
    """
    found, spread, steps = (ours - theirs).square().mean(0).sqrt(), theirs.std(0), rounding(inputs, theirs)
    for exported, known, apart, step in zip(found.tolist(), recorded, spread.tolist(), steps.tolist(), strict=True):
        agree(place, exported, known, apart, step, source)


def agree(place: object, exported: float, recorded: float, spread: float, step: float = 0.0, source: str = "") -> None:
    """Check that the RMSE of an exported student equals the one recorded in training.

    Args:
        place: name of the student for the error message.
        exported: RMSE of the reloaded student against the teacher as its file loads.
        recorded: RMSE on the same rows in training.
        spread: standard deviation of the teacher's outputs.
        step: error of rounding to the teacher's dtype, which is always accepted.
        source: what names the teacher.

    Raises:
        ExportError: if the two differ by more than rounding; the message names both.
    """
    if not abs(exported - recorded) <= ROUNDING * max(exported, recorded) + NEGLIGIBLE * spread + step:
        rule = f"the exported student has RMSE {exported:.4g} to the teacher, its training recorded {recorded:.4g} on the same rows"
        raise ExportError(place, rule, remedy=remedy_of_change(source))
