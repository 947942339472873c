"""How many rows a study asks its teacher, told before any is asked.

The generators of a study decide what a trial asks. They are counted on a stand-in for the teacher, which costs nothing to ask.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dfkd_tune.evaluation.attack import RESTARTS, STARTS, STEPS
from dfkd_tune.evaluation.stress_bank import MOVES, PANEL, REFERENCE_FRACTION
from dfkd_tune.recipes.presets import PRESETS
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.study.prepare import Prepared
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.training.distill import distill
from dfkd_tune.training.member import BLOCK
from dfkd_tune.training.problem import BANKS, Problem

STAND_IN_ROWS = 256
"""Of the stand-in's pool and banks."""


@dataclass(frozen=True)
class Queries:
    """Rows that a study asks its teacher, about.

    Args:
        shared: before the first trial: pool, banks, stress bank and its reference students.
        trial: by a trial alone, the mean over the recipes it may have.
        runs: trials, re-runs and the baseline.
        certificate: of the promoted student.
    """

    shared: int
    trial: int
    runs: int
    certificate: int

    @property
    def total(self) -> int:
        """Of the whole study, if no trial is pruned."""
        return self.shared + self.trial * self.runs + self.certificate


def queries(prepared: Prepared, recipes: list[Recipe]) -> Queries:
    """What a study asks; takes seconds and asks its teacher nothing.

    Args:
        prepared: the study.
        recipes: that its trials may have.
    """
    about, budget, problem = prepared.spec.study, prepared.spec.budget, _stand_in(prepared)
    panel = [
        replace(
            PRESETS[name], student=prepared.baseline().student, steps=max(1, round(REFERENCE_FRACTION * budget.steps))
        )
        for name in PANEL[prepared.probe.differentiable]
    ]
    pool, bank = prepared.sizes.pool, budget.bank
    shared = pool + len(BANKS) * bank + sum(_asked(problem, replace(one, batch=budget.batch)) for one in panel)
    shared += (MOVES + 1) * bank
    attacked = 2 * STEPS * min(STARTS, bank, max(8, pool // (STEPS * RESTARTS)))
    runs = about.trials + min(about.leaders, about.trials) * about.reruns + 1
    trial = sum(_asked(problem, recipe) for recipe in recipes) // len(recipes)
    return Queries(shared, trial, runs, attacked + 2 * bank)


def _asked(problem: Problem, recipe: Recipe) -> int:
    """Rows that a recipe asks at its own number of steps, from two short runs without a limit."""
    few, more = (
        distill(problem, replace(recipe, steps=min(steps, recipe.steps), teacher_rows=None), 0).teacher_rows
        for steps in (BLOCK, 3 * BLOCK)
    )
    rest = max(0, recipe.steps - BLOCK) / (2 * BLOCK)
    found = few + round((more - few) * rest) if recipe.steps > 3 * BLOCK else more
    return found if recipe.teacher_rows is None else min(found, recipe.teacher_rows)


def _stand_in(prepared: Prepared) -> Problem:
    """The problem of a study with a teacher that adds its features up."""
    outputs = prepared.probe.outputs

    def total(x: Tensor) -> Tensor:
        x = x if prepared.probe.differentiable else x.detach()
        return x.nan_to_num(0.0).sum(1, keepdim=True) * torch.arange(1, outputs + 1).to(x)

    teacher = Teacher("stand-in", total, prepared.teacher.dtype, "")
    keeps = prepared.sizes.gradients
    return Problem(
        teacher, prepared.inputs, prepared.probe, pool_rows=STAND_IN_ROWS, gradients=keeps, bank_rows=STAND_IN_ROWS
    )
