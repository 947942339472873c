"""How much of the error on real inputs one more tier of knowledge would take away, estimated without a real row.

A short distillation from what is declared gives a student. For each of several plausible worlds (see ``worlds``), another one of the
same length gives the student that one more tier of knowledge would give if that world were the truth. Both are compared with the
teacher on rows of that world. With RMSE ``e`` of the first and ``e'`` of the second, ``log(e' / e)`` over the worlds is the
estimate: its mean, and the interval that 80 % of the worlds are in if they are normally distributed, ``WIDENED`` times as wide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from dfkd_tune.errors import TeacherError
from dfkd_tune.evaluation.knowledge.gain import Gain
from dfkd_tune.evaluation.knowledge.worlds import next_tier, unforeseen, world
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.losses import MSE
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.recipes.refiners import LBFGS
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.probe import Probe
from dfkd_tune.training.banks import BANKS
from dfkd_tune.training.distill import distill
from dfkd_tune.training.problem import Problem
from dfkd_tune.training.raw_evaluation import ExportedStudent, outputs, outputs_of
from dfkd_tune.utils.seeding import derive, stream

WORLDS = 10
POOL, BANK, JUDGED = 4_096, 512, 2_048
"""Rows of the pool and of each bank of a short distillation, and of those on which both students are compared."""
SHARE = 0.05
"""Share of a trial's steps of a short distillation."""
MOST_STEPS = {True: 1_000, False: 300}
"""Most steps of one, with a refiner (True) or without (False)."""
REFINED_ROWS = 2_000
"""Most rows of a refiner's bank."""
OWN_ROWS = 8_000
"""Most teacher rows that a short distillation asks beyond its pool and banks."""
MOST_ROWS = 250_000
"""Most teacher rows of an estimate."""
MOST_SECONDS = 20.0
"""Seconds of teacher queries from which no estimate is made."""
TAIL = 1.2816
"""Normal score of the probability 0.9."""
WIDENED = 1.85
"""How much wider the interval is than the worlds' own, so that 80 % of the gains measured by ``benchmarks/knowledge.py`` lie in it."""
NEGLIGIBLE = 1e-3
"""Error, in standard deviations of the teacher, below which a smaller one is no gain."""


def estimate_gain(
    teacher: Teacher,
    inputs: Inputs,
    probe: Probe,
    recipe: Recipe,
    seed: int,
    *,
    device: str = "cpu",
    worlds: int = WORLDS,
    check_cancelled: Callable[[], None] = lambda: None,
) -> Gain:
    """Estimate what one more tier of knowledge would buy; it takes seconds, and asks the teacher for ``MOST_ROWS`` rows at most.

    Args:
        teacher, inputs, probe: teacher, what is declared of its inputs, and the result of its probe.
        recipe: recipe of the study, which is shortened.
        seed: seed of worlds and students.
        device: device of the distillation.
        worlds: number of worlds.
        check_cancelled: called before each of them; may raise.
    """
    tier = next_tier(inputs)
    if (why := unforeseen(inputs)) is not None:
        return Gain(None, why=why)
    if tier is None:
        return Gain(None)
    if _is_slow(probe):
        return Gain(tier, why="its teacher answers too slowly")
    trial = _Trial(teacher, probe, shortened(recipe, probe.differentiable), seed, device)
    try:
        return _over_worlds(trial, inputs, tier, worlds, check_cancelled)
    except TeacherError as error:
        return Gain(tier, teacher_rows=trial.asked, why=f"its teacher refused plausible rows ({error.rule})")


def is_foreseen(inputs: Inputs, probe: Probe) -> bool:
    """Whether there is an estimate for such inputs and such a teacher."""
    return next_tier(inputs) is not None and unforeseen(inputs) is None and not _is_slow(probe)


def _is_slow(probe: Probe) -> bool:
    return MOST_ROWS / probe.rows_per_second > MOST_SECONDS


def rows_of(own: int) -> int:
    """About how many teacher rows an estimate asks for.

    Args:
        own: rows of a short distillation beyond its pool and banks.
    """
    return min(MOST_ROWS, (WORLDS + 1) * (POOL + len(BANKS) * BANK + own) + WORLDS * JUDGED)


def student_steps(recipe: Recipe) -> int:
    """Number of student steps of an estimate."""
    return (WORLDS + 1) * _steps(recipe)


def _steps(recipe: Recipe) -> int:
    return min(MOST_STEPS[recipe.refiner.refines], max(1, round(SHARE * recipe.steps)))


def _over_worlds(trial: _Trial, inputs: Inputs, tier: str, worlds: int, check_cancelled: Callable[[], None]) -> Gain:
    untold, ratios = trial.student(inputs), list[float]()
    for number in range(worlds):
        check_cancelled()
        if trial.asked + trial.asked_at_most > MOST_ROWS:
            break
        found = world(inputs, trial.seed, number)
        told = trial.student(found.told)
        before, after = trial.errors(found.real, (untold, told), number)
        if math.isfinite(before) and math.isfinite(after):
            ratios.append(math.log((after + NEGLIGIBLE) / (before + NEGLIGIBLE)))
    if len(ratios) < worlds / 2:
        return Gain(tier, teacher_rows=trial.asked, why="too few of its short distillations ended well")
    middle, spread = float(np.mean(ratios)), WIDENED * TAIL * float(np.std(ratios, ddof=1))
    share, low, high = (1 - math.exp(each) for each in (middle, middle + spread, middle - spread))
    return Gain(tier, share, low, high, len(ratios), trial.asked)


def shortened(recipe: Recipe, differentiable: bool) -> Recipe:
    """The recipe with a small part of its steps and rows."""
    refiner = recipe.refiner
    if isinstance(refiner, LBFGS):
        refiner = replace(refiner, rows=min(REFINED_ROWS, refiner.rows))
    loss = recipe.loss if differentiable else MSE()  # finite differences would take many rows
    return replace(recipe, steps=_steps(recipe), refiner=refiner, loss=loss, teacher_rows=OWN_ROWS)


class _Trial:
    """Short distillations of one recipe, and the number of rows that they asked the teacher for."""

    def __init__(self, teacher: Teacher, probe: Probe, recipe: Recipe, seed: int, device: str) -> None:
        self.teacher, self.probe, self.recipe, self.seed, self.device = teacher, probe, recipe, seed, device
        self.asked = self.asked_at_most = 0
        self.spread: torch.Tensor | None = None

    def student(self, inputs: Inputs) -> nn.Module:
        """Distill a student, from raw rows to raw outputs."""
        problem = Problem(
            self.teacher,
            inputs,
            self.probe,
            seed=self.seed,
            pool_rows=POOL,
            gradients=self.probe.differentiable,
            bank_rows=BANK,
            device=self.device,
        )
        if self.spread is None:
            self.spread = problem.spread.double().cpu()
        recipe = self.recipe
        outcome = distill(problem, recipe, derive(self.seed, "knowledge"))
        self.asked += problem.queries
        self.asked_at_most = max(self.asked_at_most, problem.queries + JUDGED)
        return problem.module(recipe.student, outcome.weights)

    def errors(self, real: Inputs, students: Sequence[nn.Module], number: int) -> list[float]:
        """RMSE of students on rows of a world, in standard deviations of the teacher on the declared inputs."""
        assert self.spread is not None  # of the first student
        real = real.laid_out(self.teacher.layout)
        z = real.draw(JUDGED, stream(self.seed, "judged", number)).float()
        answers = outputs(self.teacher, real, z)
        self.asked += JUDGED
        gaps = [(outputs_of(ExportedStudent.of(each), real, z) - answers) / self.spread for each in students]
        return [float(gap.square().mean().sqrt()) for gap in gaps]
