"""Estimate how many rows a study queries its teacher for, before any query.

The generators decide how many rows a trial queries. They run here on a cheap stand-in for the teacher, which counts the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from dfkd_tune.evaluation.attack import RESTARTS, STARTS, STEPS
from dfkd_tune.evaluation.knowledge.estimate import rows_of, shortened
from dfkd_tune.evaluation.stress_bank import MOVES, PANEL, REFERENCE_FRACTION
from dfkd_tune.recipes.presets import PRESETS
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.students.mlp import MLP
from dfkd_tune.study.agreement.lengths import whole_runs
from dfkd_tune.study.calibration import calibration_rows
from dfkd_tune.study.prepare import Prepared
from dfkd_tune.study.total.division import OPENING_ROWS, probe_rows
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.training.banks import BANKS
from dfkd_tune.training.distill import distill
from dfkd_tune.training.member import BLOCK
from dfkd_tune.training.problem import Problem

STAND_IN_ROWS = 256
"""Rows of the stand-in's pool and of each of its banks."""
STAND_IN_STUDENT = MLP(width=4, depth=2)
"""In place of students that are no perceptrons: what a recipe asks does not depend on them, and they may be slow."""


@dataclass(frozen=True)
class Queries:
    """Approximate number of teacher rows that a study queries.

    Args:
        opening: rows that tell what must be known of the teacher, and how fast it is.
        shared: rows before the first trial: pool, banks, stress bank and its reference students.
        trial: rows of one trial, averaged over the recipes it may have.
        trials: number of trials.
        again: rows of one student that trains all steps.
        runs: number of such students, at most: re-runs, the baseline, and those in search of the smallest.
        certificate: rows for the certificate of the promoted student.
        knowledge: rows of the estimate of what more knowledge would buy, at the end of the study; 0 without it.
    """

    opening: int
    shared: int
    trial: int
    trials: int
    again: int
    runs: int
    certificate: int
    knowledge: int = 0

    @property
    def total(self) -> int:
        """Rows of the whole study if no trial is pruned."""
        return (
            self.opening
            + self.shared
            + self.trial * self.trials
            + self.again * self.runs
            + self.certificate
            + self.knowledge
        )


def queries(prepared: Prepared, recipes: list[Recipe]) -> Queries:
    """Count the queries of a study. It takes seconds and does not query the teacher.

    Args:
        prepared: the study.
        recipes: recipes that its trials may have.
    """
    about, budget, problem = prepared.spec.study, prepared.spec.budget, stand_in(prepared)
    ask = partial(asked, problem)
    panel = [
        replace(
            PRESETS[name], student=prepared.baseline().student, steps=max(1, round(REFERENCE_FRACTION * budget.steps))
        )
        for name in PANEL[prepared.probe.differentiable]
    ]
    pool, bank = prepared.sizes.pool, budget.bank
    shared = pool + len(BANKS) * bank + sum(ask(replace(one, batch=budget.batch)) for one in panel)
    shared += (MOVES + 1) * bank
    attacked = 2 * STEPS * min(STARTS, bank, max(8, pool // (STEPS * RESTARTS)))
    trial = sum(map(ask, recipes)) // len(recipes)
    again = sum(ask(replace(each, steps=budget.steps)) for each in recipes) // len(recipes)
    known = gain_rows(prepared, ask) if prepared.estimates_gain else 0
    opening = 2 * probe_rows(None) + OPENING_ROWS + calibration_rows(prepared, ask)
    runs = (trial, about.trials, again, whole_runs(prepared.spec))
    return Queries(opening, shared, *runs, attacked + 2 * bank, known)


def gain_rows(prepared: Prepared, ask: Callable[[Recipe], int]) -> int:
    """About how many rows it takes to estimate what more knowledge would buy; ``ask`` gives those of a recipe."""
    return rows_of(ask(shortened(prepared.space.preset, prepared.probe.differentiable)))


def asked(problem: Problem, recipe: Recipe) -> int:
    """Rows that a recipe queries in all its steps, extrapolated from two short runs without a limit."""
    if not isinstance(recipe.student, MLP):
        recipe = replace(recipe, student=STAND_IN_STUDENT)
    few, more = (
        distill(problem, replace(recipe, steps=min(steps, recipe.steps), teacher_rows=None), 0).teacher_rows
        for steps in (BLOCK, 3 * BLOCK)
    )
    rest = max(0, recipe.steps - BLOCK) / (2 * BLOCK)
    found = few + round((more - few) * rest) if recipe.steps > 3 * BLOCK else more
    return found if recipe.teacher_rows is None else min(found, recipe.teacher_rows)


def stand_in(prepared: Prepared) -> Problem:
    """The problem of a study with a teacher that returns the sum of its features."""
    outputs = prepared.probe.outputs

    def total(x: Tensor) -> Tensor:
        x = x if prepared.probe.differentiable else x.detach()
        return x.nan_to_num(0.0).sum(1, keepdim=True) * torch.arange(1, outputs + 1).to(x)

    teacher = Teacher("stand-in", total, prepared.teacher.dtype, "")
    keeps = prepared.sizes.gradients
    return Problem(
        teacher, prepared.inputs, prepared.probe, pool_rows=STAND_IN_ROWS, gradients=keeps, bank_rows=STAND_IN_ROWS
    )
