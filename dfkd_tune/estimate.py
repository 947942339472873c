"""What a study will take, from a small part of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import optuna
import psutil

from .distillation import distill
from .prepared import Prepared
from .problem import SLOPE_BYTES, Problem, affordable_rows
from .recipe import Recipe
from .searching import without_experimental_warnings

PART = 0.05
"""Of a trial's steps that are run."""
ROWS = 1_024
"""Of the pool that they are run on."""


@dataclass(frozen=True)
class Estimate:
    """About what a study takes on this machine.

    Args:
        trial: seconds of a trial alone, the mean over the first trials of the study.
        seconds: of training in the whole study, re-runs included, in one process.
        bytes: of memory, this process and the study's rows together.
    """

    trial: float
    seconds: float
    bytes: int


def estimate(prepared: Prepared) -> Estimate:
    """Run a small part of the first trial of every generator; takes a few seconds and writes nothing."""
    about, budget = prepared.spec.study, prepared.spec.budget
    problem = _small(prepared)
    recipes = first_recipes(prepared)
    _seconds(problem, recipes[0], 10)  # imports and first calls are paid once
    trial = sum(_whole(problem, recipe) for recipe in recipes) / len(recipes)
    runs = about.trials + min(about.leaders, about.trials) * about.reruns + 1
    pool = budget.pool or affordable_rows(prepared.probe)
    wide, outputs = prepared.probe.features, prepared.probe.outputs
    slopes = pool * wide * outputs * 4 if prepared.probe.differentiable else 0
    rows = (pool + 4 * budget.bank) * (wide + outputs) * 4 + (slopes if slopes <= SLOPE_BYTES else 0)
    return Estimate(trial, trial * runs, psutil.Process().memory_info().rss + rows)


def _whole(problem: Problem, recipe: Recipe) -> float:
    """Seconds of a recipe from two short runs of it, which tell apart what every run takes from what every step takes."""
    part = min(recipe.steps, max(50, round(PART * recipe.steps)))
    once, more = _seconds(problem, recipe, part), _seconds(problem, recipe, 3 * part)
    return once + max(0.0, more - once) * (recipe.steps - part) / (2 * part)


def _seconds(problem: Problem, recipe: Recipe, steps: int) -> float:
    start = time.perf_counter()
    distill(problem, replace(recipe, steps=steps), problem.seed)
    return time.perf_counter() - start


def _small(prepared: Prepared) -> Problem:
    """The problem of a study with a small pool and small banks."""
    spec = prepared.spec
    small = replace(spec, budget=replace(spec.budget, bank=min(spec.budget.bank, ROWS)))
    return replace(prepared, spec=small).problem(min(ROWS, spec.budget.pool or ROWS))


def first_recipes(prepared: Prepared) -> list[Recipe]:
    """What the first trial of every generator would be."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(prepared.spec.study.seed % 2**32))
    recipes = []
    with without_experimental_warnings():
        for lead in prepared.space.leads():
            study.enqueue_trial(lead)
            recipes.append(prepared.space.suggest(study.ask()))
    return recipes
