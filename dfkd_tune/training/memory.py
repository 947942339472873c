"""How many rows of a study fit in memory, estimated before any is drawn.

What one process holds beside its libraries: prior rows with the teacher's answers and input gradients, four banks, the members
of a population, and what a chunk of rows leaves in the teacher's layers. It is an estimate from above, good to about a half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dfkd_tune.compat.torch import TorchDispatchMode
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.probe import Probe
from dfkd_tune.training.problem import GRADIENT_BYTES, POOL_LEAST, TEACHER_BATCH, affordable_rows

NUMBER = 4
"""Bytes of a float32."""
DRAWING = 4 * 8
"""Bytes a value of the prior takes while it is drawn: four copies in float64."""
COPIES = 8
"""Tensors as large as a member's weights: gradient, moments, the best so far, and what an update makes on its way."""
PAIRS = 100
"""The same in the history of L-BFGS, for the one member that is finished at a time."""
BANKS = 4
SPARSE = 8_192
"""Pool rows below which the gradients are given up before more rows are."""


@dataclass(frozen=True)
class Sizes:
    """What a study's rows were sized to.

    Args:
        pool: prior rows that the teacher answers once.
        gradients: whether its input gradients there are kept; otherwise they are asked for again where they are needed.
        bytes: that a process of the study takes beside its libraries.
        wanted: pool rows that it would have had with memory to spare.
    """

    pool: int
    gradients: bool
    bytes: int
    wanted: int

    @property
    def shrunk(self) -> str | None:
        """What the memory made of the pool, in words; None where it is what it would have been."""
        if self.pool < self.wanted:
            return f"pool of {self.pool:,} rows instead of {self.wanted:,}, as memory is short"
        return None


@dataclass(frozen=True)
class Need:
    """What the bytes of a study follow from.

    Args:
        features, outputs: of the teacher.
        bank, batch: rows.
        teacher_row: bytes that one row leaves in the teacher's layers, forward and backward.
        member: bytes of one member of a population.
        finishing: bytes of the member that is being finished, beside that.
    """

    features: int
    outputs: int
    bank: int
    batch: int
    teacher_row: int
    member: int
    finishing: int

    def bytes(self, pool: int, gradients: bool, population: int) -> int:
        """Of one process, at its fullest."""
        row = (self.features + self.outputs) * NUMBER
        jacobian = self.features * self.outputs * NUMBER
        kept = (pool + BANKS * self.bank) * row + (2 * pool * jacobian if gradients else 0)
        drawn = max(pool, self.bank) * self.features * DRAWING
        chunk = min(TEACHER_BATCH, pool) * (self.teacher_row + jacobian * gradients)
        step = population * (self.member + self.batch * self.teacher_row)
        return kept + max(drawn, chunk, step + self.finishing)


def need(teacher: Teacher, inputs: Inputs, found: Probe, recipe: Recipe, bank: int) -> Need:
    """What a study of such recipes takes.

    Args:
        teacher, inputs, found: whose rows they are.
        recipe: with the widest student that the study may try.
        bank: rows of a bank.
    """
    size, encoded = (found.features, found.outputs), (inputs.encoded, found.outputs)
    weights, wide = recipe.student.parameters(*encoded), recipe.student.hidden_units
    depth = max(1, recipe.student.hidden_layers)
    gradients = found.features * found.outputs if recipe.loss.gradients else 0
    row = NUMBER * (found.features + gradients + 4 * depth * wide * (1 + (gradients > 0)))
    network = NUMBER * 3 * recipe.generator.network_units * (50 + found.features)
    finish = recipe.finish.bank_rows
    return Need(
        *size,
        bank,
        recipe.batch,
        teacher_row(teacher, inputs),
        NUMBER * COPIES * weights + network + recipe.batch * row,
        NUMBER * PAIRS * weights * bool(finish) + 2 * finish * row,
    )


def teacher_row(teacher: Teacher, inputs: Inputs) -> int:
    """Bytes that a row leaves in a teacher's layers, twice for the way back; what computes outside of torch is not seen."""
    rows = 16
    x = inputs.raw(inputs.draw(rows, torch.Generator().manual_seed(0)), teacher.dtype)
    with torch.no_grad(), _Weighing() as scale:
        teacher(x)
    return 2 * scale.bytes // rows


class _Weighing(TorchDispatchMode):
    """Adds up the bytes of everything that is computed."""

    bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and not func.is_view:
            self.bytes += made.numel() * made.element_size()
        return made


def fit(needed: Need, found: Probe, population: int, room: int, pool: int | None = None) -> Sizes | None:
    """The largest rows that fit in ``room`` bytes; None where none do.

    Args:
        needed: by the study.
        found: what the teacher turned out to be.
        population: members at once.
        room: bytes for one process, its libraries not counted.
        pool: rows that were asked for, which do not shrink; None lets the teacher's speed decide.
    """
    wanted = pool or affordable_rows(found)
    for rows, gradients in _candidates(found, wanted, fixed=pool is not None):
        taken = needed.bytes(rows, gradients, population)
        if taken <= room:
            return Sizes(rows, gradients, taken, wanted)
    return None


def _candidates(found: Probe, wanted: int, fixed: bool) -> list[tuple[int, bool]]:
    """Pool rows and whether gradients are kept, from the best."""
    halved = [wanted]
    while not fixed and halved[-1] // 2 >= POOL_LEAST:
        halved.append(halved[-1] // 2)
    jacobian = found.features * found.outputs * NUMBER
    keeps = found.differentiable and wanted * jacobian <= GRADIENT_BYTES
    rich = [(rows, True) for rows in halved if rows >= min(SPARSE, wanted)] if keeps else []
    return rich + [(rows, False) for rows in halved]
