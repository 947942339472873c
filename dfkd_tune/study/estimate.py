"""Estimate the time and memory of a study by running a small part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import optuna
import psutil

from dfkd_tune.evaluation.knowledge.estimate import is_foreseen
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.search.sampling import without_experimental_warnings
from dfkd_tune.study.agreement.lengths import length
from dfkd_tune.study.calibration import calibration_rows, small_problem, small_rows, timed_rows, trial_seconds
from dfkd_tune.study.prepare import Prepared
from dfkd_tune.study.queries import asked, gain_rows, stand_in
from dfkd_tune.training.distill import distill

WARM_UP = 10
"""Steps of the first distillation, which is not timed."""


@dataclass(frozen=True)
class Estimate:
    """Approximate cost of a study on this machine.

    Args:
        trial: seconds of one trial on its own, averaged over the study's first trials.
        seconds: seconds of training in the whole study, re-runs included, in one process.
        bytes: memory of this process with the study's rows.
    """

    trial: float
    seconds: float
    bytes: int


def estimate(prepared: Prepared) -> Estimate:
    """Run a small part of the first trial of each generator; takes a few seconds and writes nothing."""
    problem, recipes = small_problem(prepared), first_recipes(prepared)
    distill(problem, replace(recipes[0], steps=WARM_UP), problem.seed)  # warm-up: do not time imports
    trial = sum(trial_seconds(problem, recipe) for recipe in recipes) / len(recipes)
    return Estimate(trial, trial * length(prepared.spec), psutil.Process().memory_info().rss + prepared.sizes.bytes)


def estimate_rows(prepared: Prepared, recipes: Sequence[Recipe]) -> int:
    """About how many rows a fast check of time, memory and knowledge asks the teacher. It takes seconds and asks none.

    Args:
        prepared: the study.
        recipes: the recipe of the first trial of each generator.
    """
    ask = partial(asked, stand_in(prepared))
    rows = (
        small_rows(prepared) + ask(replace(recipes[0], steps=WARM_UP)) + sum(timed_rows(each, ask) for each in recipes)
    )
    known = gain_rows(prepared, ask) if is_foreseen(prepared.inputs, prepared.probe) else 0
    return rows + calibration_rows(prepared, ask) + known


def first_recipes(prepared: Prepared) -> list[Recipe]:
    """The recipe of the first trial of each generator."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(prepared.spec.study.seed % 2**32))
    recipes = []
    with without_experimental_warnings():
        for point in prepared.space.initial_points():
            study.enqueue_trial(point)
            recipes.append(prepared.space.suggest(study.ask()))
    return recipes
