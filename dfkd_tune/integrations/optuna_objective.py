"""The plugin: distillation as an Optuna objective, for a study and an MLflow server of the user's own."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna

from dfkd_tune.errors import DfkdError
from dfkd_tune.export.student_files import student_files
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.recipes.presets import PRESETS
from dfkd_tune.search.defaults import TEACHER_DEFAULTS
from dfkd_tune.search.search_space import make_space
from dfkd_tune.search.study_file import Budget
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.tracking.context import within
from dfkd_tune.tracking.runs import STATE
from dfkd_tune.tracking.tracker import Tracker
from dfkd_tune.training.distill import Outcome, conclude
from dfkd_tune.training.member import Member
from dfkd_tune.training.population import Population
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils.seeding import derive
from dfkd_tune.utils.strategy import build


class Distillation:
    """An Optuna objective: each call distills one student and returns its RMSE to the teacher on the selection bank.

    It reports to the trial at every rung and honors the study's pruner. With ``tracking_uri``, every trial is a run of
    the experiment ``experiment``, with parameters, metrics, curve and the student itself.

    Args:
        teacher: a loaded teacher, a model file or ``package.module:function``.
        architecture: YAML of layers and activations, for a model file that holds weights alone.
        trust_pickle: take the model file's author at their word: a pickle can run any code.
        features: features file; N(0, I) over standardized units when left out.
        search: leaf -> choices or range, as in a study file; None for the default space.
        max_parameters: of a student.
        preset: where leaves that are not searched come from; our best when left out.
        steps, batch: budget of a trial.
        seed: of banks and students.
        tracking_uri: of MLflow; None records nothing.
        experiment: its name there.

    Raises:
        DfkdError: on creation, when teacher, features or search are unfit.
    """

    def __init__(
        self,
        teacher: Teacher | str | Path,
        *,
        architecture: str | Path | None = None,
        trust_pickle: bool = False,
        features: str | Path | None = None,
        search: Mapping[str, Any] | None = None,
        max_parameters: int | None = None,
        preset: str | None = None,
        steps: int = 20_000,
        batch: int = 100,
        seed: int = 0,
        tracking_uri: str | None = None,
        experiment: str = "distillation",
    ):
        budget = build(Budget, {"steps": steps, "batch": batch}, "budget")
        loaded = teacher if isinstance(teacher, Teacher) else _load(teacher, architecture, trust_pickle)
        loaded, inputs = with_inputs(loaded, Path(features) if features else None)
        found = probe(loaded, inputs, seed)
        kind = TEACHER_DEFAULTS[found.kind]
        recipe = replace(PRESETS[preset] if preset else kind.preset, steps=budget.steps, batch=budget.batch)
        self.seed = seed
        self.space = make_space(
            recipe,
            search,
            (inputs.encoded, found.outputs),
            max_parameters,
            differentiable=found.differentiable,
            default=kind.searched(inputs),
        )
        self.problem = Problem(loaded, inputs, found, seed=seed)
        self._tracker = Tracker(tracking_uri, experiment) if tracking_uri else None

    @property
    def recorded(self) -> tuple[str, str] | None:
        """Where MLflow is and the name of the experiment; None where nothing is recorded."""
        return (self._tracker.uri, self._tracker.experiment) if self._tracker else None

    def __call__(self, trial: optuna.Trial) -> float:
        """Distill with what the trial suggests.

        Raises:
            optuna.TrialPruned: when the pruner says so, or the student diverged.
            TeacherError: when the teacher fails; its run ends as FAILED.
            TrackingError: when MLflow refused the records.
        """
        with within(study=trial.study.study_name, trial=trial.number):
            return self._distill(trial)

    def _distill(self, trial: optuna.Trial) -> float:
        recipe = self.space.suggest(trial)
        member = Member(trial.number, recipe, derive(self.seed, "trial", trial.number))
        population = Population(self.problem)
        population.admit(member)
        key = f"trial-{trial.number:04d}"
        if self._tracker:
            self._tracker.open_run(
                key,
                "trial",
                recipe.leaves() | {"trial": trial.number, "seed": member.seed},
                {"dfkd.tier": self.problem.inputs.tier},
            )
        reason, start = None, time.perf_counter()
        try:
            while not member.finished and reason is None:
                population.advance()
                trial.report(math.nan if member.failure else member.curve[-1][1], member.rung)
                if not member.spent and trial.should_prune():
                    reason = f"pruned at step {member.clock}"
            seconds = time.perf_counter() - start
            outcome = conclude(self.problem, population.release(trial.number), seconds, reason is None)
        except BaseException as error:
            if self._tracker:
                stopped, told = isinstance(error, KeyboardInterrupt), isinstance(error, DfkdError)
                why = str(error) if told else type(error).__name__
                tags = {STATE: "INTERRUPTED" if stopped else "FAIL", "dfkd.reason": why}
                self._tracker.close_run(key, "KILLED" if stopped else "FAILED", {}, tags, member.curve)
                self._tracker.flush()
            raise
        reason = outcome.failure or reason
        self._record(trial, key, outcome, reason)
        if reason is not None:
            raise optuna.TrialPruned(reason)
        return outcome.selection.rmse

    def _record(self, trial: optuna.Trial, key: str, outcome: Outcome, reason: str | None) -> None:
        trial.set_user_attr("recipe", json.dumps(outcome.recipe.tree()))
        if self._tracker is None:
            return
        files = {} if reason else student_files(self.problem, outcome, {"trial": trial.number})
        tags = {STATE: "PRUNED" if reason else "COMPLETE"} | ({"dfkd.reason": reason} if reason else {})
        self._tracker.close_run(key, "KILLED" if reason else "FINISHED", outcome.metrics(), tags, outcome.curve, files)
        self._tracker.flush()
        self._tracker.raise_for_rejected()


ARGUMENTS = {
    "--trust-pickle": "trust_pickle=True",
    "--architecture FILE": "architecture=FILE",
}
"""Options of the command line that a remedy may name, and what they are here."""


def _load(teacher: str | Path, architecture: str | Path | None, trust_pickle: bool) -> Teacher:
    """``load_teacher``, whose remedies are told in Python."""
    try:
        return load_teacher(teacher, Path(architecture) if architecture else None, trust_pickle)
    except DfkdError as error:
        remedy = error.remedy
        for option, argument in ARGUMENTS.items():
            remedy = remedy.replace(option, argument)
        raise type(error)(error.place, error.rule, remedy=remedy) from None
