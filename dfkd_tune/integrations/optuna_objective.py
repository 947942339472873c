"""Distillation as an Optuna objective, for your own Optuna study and MLflow server."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.study import StudyDirection

from dfkd_tune.api.arguments import Arguments
from dfkd_tune.api.error_words import in_python
from dfkd_tune.api.sections import require_single, sections
from dfkd_tune.errors import DfkdError, SpecError
from dfkd_tune.search.ranking import run_name
from dfkd_tune.search.sampling import smoothed
from dfkd_tune.study.ending import Ending, ending, stopped
from dfkd_tune.tracking import params as param
from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.context import within
from dfkd_tune.tracking.states import State
from dfkd_tune.tracking.tags import RunKind
from dfkd_tune.tracking.tracker import Tracker
from dfkd_tune.training.distill import conclude
from dfkd_tune.training.member import Member
from dfkd_tune.training.population import Population
from dfkd_tune.utils.given.checks import FLAG, MAPPING, PATH, TEXT, require
from dfkd_tune.utils.seeding import derive


class Distillation:
    """An Optuna objective: each call distills one student and returns the value that a study of ``dfkd-tune`` minimizes.

        study = optuna.create_study(pruner=optuna.pruners.PercentilePruner(75))
        study.optimize(dt.Distillation(model, features=["load", "flow"], max_parameters=401), n_trials=50)

    Each call reports to the trial at every rung and stops if the study's pruner says so. It sets the same trial attributes as a
    study of ``dfkd-tune``. With ``tracking_uri``, every trial is also an MLflow run with parameters, metrics, curve and student.

    Args:
        teacher, features, max_parameters, compression, example_inputs, architecture, trust_pickle: as in ``distill``.
        search: leaf -> choices or range, as in a study file; None for the default space.
        fixed: leaf -> value for every trial.
        preset: preset for leaves that are neither fixed nor searched; default: the one for this kind of teacher.
        objective: ``robust``, ``rmse`` or ``nrmse``, as in a study file.
        steps, batch: student steps of a trial (20,000), and rows in each step (100).
        student, budget: these sections of a study file: ``{"kind": "rbf"}``, ``{"pool": 5000, "bank": 2000}``. A key has one value, here or
            in an argument.
        seed: seed of banks and students.
        tracking_uri: MLflow tracking URI; None records nothing.
        experiment: name of the MLflow experiment.

    Raises:
        DfkdError: on creation, if an argument is not valid.
    """

    def __init__(
        self,
        teacher: Any,
        *,
        features: Any = None,
        search: Mapping[str, Any] | None = None,
        fixed: Mapping[str, Any] | None = None,
        max_parameters: int | None = None,
        compression: float | None = None,
        preset: str | None = None,
        objective: str = "robust",
        steps: int | None = None,
        batch: int | None = None,
        student: Mapping[str, Any] | None = None,
        budget: Mapping[str, Any] | None = None,
        seed: int = 0,
        example_inputs: Any = None,
        architecture: str | Path | None = None,
        trust_pickle: bool = False,
        tracking_uri: str | None = None,
        experiment: str = "distillation",
    ) -> None:
        mappings = {"fixed": (fixed, MAPPING), "student": (student, MAPPING), "budget": (budget, MAPPING)}
        files = {"architecture": (architecture, PATH), "trust_pickle": (trust_pickle, FLAG)}
        texts = {"tracking_uri": (tracking_uri, TEXT), "experiment": (experiment, TEXT)}
        require("Distillation", {**mappings, **files, **texts}, "experiment")
        arguments = {
            "study.objective": objective,
            "study.seed": seed,
            "study.reruns": 0,
            "student.max_parameters": max_parameters,
            "student.compression": compression,
            "budget.steps": steps,
            "budget.batch": batch,
            "preset": preset,
            "search": search,
        }
        given = sections("Distillation", {"student": student, "budget": budget}, arguments, fixed)
        require_single("Distillation", given)
        with in_python("Distillation"), tempfile.TemporaryDirectory() as folder:
            prepared, _ = Arguments(
                "Distillation",
                teacher,
                features,
                example_inputs,
                given,
                architecture,
                trust_pickle,
                "cpu",
                Path(folder),
            ).prepared()
            self.problem = prepared.stressed(prepared.problem(), lambda member: None)
        self.seed, self.space, self.objective = seed, prepared.space, objective
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
            SpecError: if the study maximizes, or has several objectives.
            TeacherError: if the teacher fails; the trial's run ends as FAILED.
            TrackingError: if MLflow rejected records.
        """
        _require_minimizing(trial.study)
        with in_python(), within(study=trial.study.study_name, trial=trial.number):
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
            if not population.advance():
                continue  # its assistants train
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
        for name, value in ended.constraints(self.space.max_parameters).items():
            trial.set_constraint(name, value)
        if self._tracker:
            self._tracker.flush()
            self._tracker.raise_for_rejected()


def _require_minimizing(study: optuna.Study) -> None:
    """Refuse a study that would keep the worst student, or that needs more values than one."""
    if len(study.directions) > 1:
        rule = f"returns one value, and the study has {len(study.directions)} objectives"
        raise SpecError("Distillation", rule, remedy='optuna.create_study(direction="minimize")')
    if study.direction != StudyDirection.MINIMIZE:
        rule = "returns an error, and the study maximizes it"
        raise SpecError("Distillation", rule, remedy='optuna.create_study(direction="minimize")')
