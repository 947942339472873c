"""Estimate how many rows of a study fit in memory, before any is drawn.

Besides its libraries, one process holds the pool with teacher outputs and input gradients, four banks, the members of a
population, and the teacher's activations for a chunk of rows. The estimate is an upper bound, too high by up to a half.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch

from dfkd_tune.compat.torch import LightDispatchMode
from dfkd_tune.inputs.encoding import encoder
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.base import Assistant
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.probe import Probe
from dfkd_tune.training.banks import POOL_LEAST, affordable_rows
from dfkd_tune.training.problem import GRADIENT_BYTES, TEACHER_BATCH

NUMBER = 4
"""Bytes of one float32."""
DRAWING = 4 * 8
"""Bytes of one value of the prior while it is drawn: four copies in float64."""
COPIES = 8
"""Tensors as large as a member's weights: gradient, moments, best weights, and temporaries of the update."""
PAIRS = 100
"""Tensors of that size in the history of L-BFGS, which refines one member at a time."""
BANKS = 4
SPARSE = 8_192
"""Smallest pool that keeps input gradients; to save more memory, the gradients are dropped before further rows."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of a study that fit in memory.

    Args:
        pool: number of pool rows.
        gradients: whether the pool keeps the teacher's input gradients; otherwise they are computed whenever needed.
        bytes: memory of one process of the study, without libraries.
        wanted: number of pool rows with unlimited memory.
    """

    pool: int
    gradients: bool
    bytes: int
    wanted: int

    @property
    def shrunk(self) -> str | None:
        """A phrase that says how the pool was reduced to fit in memory; None if it was not."""
        if self.pool < self.wanted:
            return f"pool of {self.pool:,} rows instead of {self.wanted:,}, as memory is short"
        return None


@dataclass(frozen=True)
class Need:
    """The quantities from which a study's memory is estimated.

    Args:
        features, outputs: number of the teacher's features and outputs.
        bank, batch: rows in a bank and in a batch.
        teacher_row: bytes of the teacher's activations for one row, forward and backward.
        member: bytes of one member of a population.
        finishing: additional bytes of the member that is being refined.
        lesson: rows that a member's assistants label, which one member draws at a time.
    """

    features: int
    outputs: int
    bank: int
    batch: int
    teacher_row: int
    member: int
    finishing: int
    lesson: int = 0

    def of(self, inputs: Inputs, recipe: Recipe) -> Need:
        """The same quantities for another recipe. The teacher is not asked.

        Args:
            inputs: the study's inputs.
            recipe: the recipe.
        """
        columns = encoder(inputs).columns
        weights = recipe.student.parameters(columns, self.outputs)
        students = [recipe.student, *recipe.assistant.students(recipe.student)]
        every = sum(each.parameters(columns, self.outputs) for each in students)
        gradients = self.features * self.outputs if recipe.loss.gradients else 0
        rows = [NUMBER * (self.features + gradients + each.held(columns) * (1 + (gradients > 0))) for each in students]
        network = NUMBER * 3 * recipe.generator.network_units * (50 + self.features)
        refining = recipe.refiner.bank_rows
        rows_labeled = recipe.assistant.labeled_rows
        lesson = rows_labeled * NUMBER * (self.features + self.outputs + gradients)
        return replace(
            self,
            batch=recipe.batch,
            member=NUMBER * COPIES * every + network + recipe.batch * sum(rows) + lesson,
            finishing=NUMBER * PAIRS * weights * bool(refining) + 2 * refining * rows[0],
            lesson=rows_labeled,
        )

    def bytes(self, pool: int, gradients: bool, population: int) -> int:
        """Peak memory of one process in bytes."""
        row = (self.features + self.outputs) * NUMBER
        jacobian = self.features * self.outputs * NUMBER
        kept = (pool + BANKS * self.bank) * row + (2 * pool * jacobian if gradients else 0)
        drawn = max(pool, self.bank) * self.features * DRAWING
        chunk = min(TEACHER_BATCH, pool) * (self.teacher_row + jacobian * gradients)
        step = population * (self.member + self.batch * self.teacher_row)
        return kept + max(drawn, chunk, step + max(self.finishing, self.lesson * self.features * DRAWING))


def need(teacher: Teacher, inputs: Inputs, found: Probe, recipe: Recipe, bank: int) -> Need:
    """The quantities that determine the memory of a study.

    Args:
        teacher, inputs, found: the study's teacher, its inputs and its probe.
        recipe: a recipe with the widest student that the study may try.
        bank: number of rows in a bank.
    """
    bare = Need(found.features, found.outputs, bank, recipe.batch, teacher_row(teacher, inputs), 0, 0)
    return bare.of(inputs, recipe)


def teacher_row(teacher: Teacher, inputs: Inputs) -> int:
    """Bytes of a teacher's activations for one row, doubled for the backward pass; only PyTorch operations are counted."""
    if teacher.guard.meter is not None:  # a black box, whose rows count
        return 0
    rows = 16
    x = inputs.raw(inputs.draw(rows, torch.Generator().manual_seed(0)), teacher.dtype)
    with torch.no_grad(), _Weighing() as scale:
        teacher(x)
    return 2 * scale.bytes // rows


class _Weighing(LightDispatchMode):
    """Sums the bytes of the results of all operations."""

    bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and not func.is_view:
            self.bytes += made.numel() * made.element_size()
        return made


def fit(needed: Need, found: Probe, population: int, room: int, pool: int | None = None) -> Sizes | None:
    """The largest sizes that fit in ``room`` bytes; None if none do.

    Args:
        needed: the quantities of the study.
        found: result of probing the teacher.
        population: number of members trained at once.
        room: bytes for one process, without libraries.
        pool: requested number of pool rows, which is not reduced; None lets the teacher's speed decide.
    """
    wanted = pool or affordable_rows(found)
    for rows, gradients in _candidates(found, wanted, fixed=pool is not None):
        taken = needed.bytes(rows, gradients, population)
        if taken <= room:
            return Sizes(rows, gradients, taken, wanted)
    return None


def reduced(assistant: Assistant, fits: Callable[[Assistant], bool]) -> tuple[str, int] | None:
    """The leaf of an assistant that has to be halved least often until it fits, and its value then; None if no leaf is enough alone.

    Args:
        assistant: an assistant that does not fit.
        fits: whether another one does.
    """
    assert is_dataclass(assistant)  # every strategy is one
    whole = {each.name: value for each in fields(assistant) if type(value := getattr(assistant, each.name)) is int}
    for halvings in range(1, max(whole.values(), default=0).bit_length()):
        for name, value in whole.items():
            try:
                smaller = replace(assistant, **{name: value >> halvings})
            except ValueError:  # less than it may be
                continue
            if fits(smaller):
                return name, value >> halvings
    return None


def _candidates(found: Probe, wanted: int, fixed: bool) -> list[tuple[int, bool]]:
    """Numbers of pool rows and whether gradients are kept, the best first."""
    halved = [wanted]
    while not fixed and halved[-1] // 2 >= POOL_LEAST:
        halved.append(halved[-1] // 2)
    jacobian = found.features * found.outputs * NUMBER
    keeps = found.differentiable and wanted * jacobian <= GRADIENT_BYTES
    rich = [(rows, True) for rows in halved if rows >= min(SPARSE, wanted)] if keeps else []
    return rich + [(rows, False) for rows in halved]
