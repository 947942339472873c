"""Distillation as an Optuna objective, for your own Optuna study and MLflow server."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna

from dfkd_tune.errors import DfkdError
from dfkd_tune.evaluation.stress_bank import add_stress
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.recipes.presets import PRESETS
from dfkd_tune.search.ranking import run_name
from dfkd_tune.search.sampling import smoothed
from dfkd_tune.search.space.defaults import TEACHER_DEFAULTS, untuned
from dfkd_tune.search.space.search_space import make_space
from dfkd_tune.search.study_file import Budget, StudySection
from dfkd_tune.study.ending import Ending, ending, stopped
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.tracking import params as param
from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.context import within
from dfkd_tune.tracking.states import State
from dfkd_tune.tracking.tags import RunKind
from dfkd_tune.tracking.tracker import Tracker
from dfkd_tune.training.distill import conclude
from dfkd_tune.training.member import Member
from dfkd_tune.training.population import Population
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils.seeding import derive
from dfkd_tune.utils.strategy import build


class Distillation:
    """An Optuna objective: each call distills one student and returns the value that a study of ``dfkd-tune`` minimizes.

    Each call reports to the trial at every rung and stops if the study's pruner says so. It sets the same trial attributes as a
    study of ``dfkd-tune``. With ``tracking_uri``, every trial is also an MLflow run with parameters, metrics, curve and student.

    Args:
        teacher: a loaded teacher, a model file or ``package.module:function``.
        architecture: YAML file of layers and activations, for a model file that holds only weights.
        trust_pickle: whether to load a pickled model file, which can run any code.
        features: features file; default: the prior N(0, I) in standardized units.
        search: leaf -> choices or range, as in a study file; None for the default space.
        max_parameters: largest number of parameters of a student.
        preset: preset for leaves that are not searched; default: the one for this kind of teacher.
        objective: ``robust``, ``rmse`` or ``nrmse``, as in a study file.
        steps, batch: student steps of a trial, and rows in each step.
        seed: seed of banks and students.
        tracking_uri: MLflow tracking URI; None records nothing.
        experiment: name of the MLflow experiment.

    Raises:
        DfkdError: on creation, if teacher, features or search are invalid.
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
        objective: str = "robust",
        steps: int = 20_000,
        batch: int = 100,
        seed: int = 0,
        tracking_uri: str | None = None,
        experiment: str = "distillation",
    ) -> None:
        budget = build(Budget, {"steps": steps, "batch": batch}, "budget")
        self.objective = build(StudySection, {"objective": objective}, "study").objective
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
        add_stress(self.problem, untuned(found.kind, budget, self.space))
        with within(study=experiment):  # so that its runs get the tags of a study's runs
            self._tracker = Tracker(tracking_uri, experiment) if tracking_uri else None

    @property
    def recorded(self) -> tuple[str, str] | None:
        """MLflow tracking URI and name of the experiment; None if nothing is recorded."""
        return (self._tracker.uri, self._tracker.experiment) if self._tracker else None

    def __call__(self, trial: optuna.Trial) -> float:
        """Distill one student with the recipe that the trial suggests; returns the objective.

        Raises:
            optuna.TrialPruned: if the pruner stops the trial, or the student diverges.
            TeacherError: if the teacher fails; the trial's run ends as FAILED.
            TrackingError: if MLflow rejected records.
        """
        with within(study=trial.study.study_name, trial=trial.number):
            return self._distill(trial)

    def _distill(self, trial: optuna.Trial) -> float:
        recipe = self.space.suggest(trial)
        member = Member(trial.number, recipe, derive(self.seed, "trial", trial.number))
        population = Population(self.problem)
        population.admit(member)
        key = run_name(trial.number)
        if self._tracker:
            params = recipe.leaves() | {param.TRIAL: trial.number, param.SEED: member.seed}
            tags = {tag.TIER: self.problem.inputs.tier, tag.OBJECTIVE: self.objective}
            self._tracker.open_run(key, RunKind.TRIAL, params, tags)
        try:
            ended = self._train(trial, population, member, key)
        except BaseException as error:
            if self._tracker:
                state = State.INTERRUPTED if isinstance(error, KeyboardInterrupt) else State.FAIL
                why = str(error) if isinstance(error, DfkdError) else type(error).__name__
                stopped(member.curve, why, state).close(self._tracker, key)
                self._tracker.flush()
            raise
        self._record(trial, key, ended)
        if ended.reason is not None:
            raise optuna.TrialPruned(ended.reason)
        return ended.values[0]

    def _train(self, trial: optuna.Trial, population: Population, member: Member, key: str) -> Ending:
        """Train until the member has finished, diverged or been pruned; returns the ending."""
        pruned, start = None, time.perf_counter()
        while not member.finished and pruned is None:
            population.advance()
            trial.report(math.nan if member.failure else smoothed(member.curve), member.rung)
            if not member.spent and trial.should_prune():
                pruned = f"pruned at step {member.clock}"
        seconds = time.perf_counter() - start
        outcome = conclude(self.problem, population.release(trial.number), seconds, pruned is None)
        about = None
        if self._tracker:
            about = {"study": self._tracker.experiment, "trial": trial.number, "run": key}
        return ending(self.problem, outcome, self.objective, pruned=pruned, about=about)

    def _record(self, trial: optuna.Trial, key: str, ended: Ending) -> None:
        attributes = ended.close(self._tracker, key) if self._tracker else ended.attributes
        for name, value in attributes.items():
            trial.set_user_attr(name, value)
        if self._tracker:
            self._tracker.flush()
            self._tracker.raise_for_rejected()


ARGUMENTS = {
    "--trust-pickle": "trust_pickle=True",
    "--architecture FILE": "architecture=FILE",
}
"""Options of the command line that a remedy may name -> their counterparts in Python."""


def _load(teacher: str | Path, architecture: str | Path | None, trust_pickle: bool) -> Teacher:
    """``load_teacher`` with remedies in terms of Python."""
    try:
        return load_teacher(teacher, Path(architecture) if architecture else None, trust_pickle)
    except DfkdError as error:
        remedy = error.remedy
        for option, argument in ARGUMENTS.items():
            remedy = remedy.replace(option, argument)
        raise type(error)(error.place, error.rule, remedy=remedy) from None
