"""What Optuna and MLflow record at the end of a distillation (a trial, a re-run, the baseline, or a trial of your own Optuna study), and of a study.

A complete trial has values, metrics and files. A trial that was pruned, diverged, failed or was interrupted has no metrics of a
student, so that no RMSE of an unfinished student is compared with finished ones.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from dfkd_tune.search.attributes import ATTEMPTS, CERTIFIED, REASON, RECIPE, RECORD, STARTED, SUMMARY, StudyRecord
from dfkd_tune.search.ranking import Promoted
from dfkd_tune.teachers.metering.parts import CERTIFICATE
from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.states import RunStatus, State
from dfkd_tune.training import metrics as metric

if TYPE_CHECKING:  # ``sync`` reads endings from a storage without PyTorch
    import optuna

    from dfkd_tune.search.storage import PatientStorage
    from dfkd_tune.tracking.tracker import Tracker
    from dfkd_tune.training.distill import Outcome
    from dfkd_tune.training.problem import Problem

COSTS = {"parameters": metric.PARAMETERS, "latency": metric.LATENCY}
"""Second objective of a study -> its metric."""
MAX_PARAMETERS = "max_parameters"
"""Optuna constraint of a trial: how far its student's parameters are above the limit."""
BOOKKEEPING = {ATTEMPTS}
"""Numeric attributes of a trial that are not metrics of its student."""


@dataclass(frozen=True)
class Ending:
    """The record of a distillation's end.

    Args:
        state: how it ended.
        reason: why there is no student; None if there is one.
        values: values that Optuna minimizes, the objective first; empty unless it is complete.
        metrics: metrics for MLflow and attributes of the Optuna trial.
        recipe: the recipe as JSON; None if it is not known.
        curve: points ``(step, rmse)`` on the pruning bank.
        files: artifact path -> content; None without a student, or if no files were requested.
    """

    state: State
    reason: str | None = None
    values: tuple[float, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    recipe: str | None = None
    curve: Sequence[tuple[int, float]] = ()
    files: Mapping[str, bytes] | None = None

    @property
    def status(self) -> RunStatus:
        """MLflow's status of the run."""
        return self.state.status

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the MLflow run."""
        return {tag.STATE: self.state} | ({tag.REASON: self.reason} if self.reason else {})

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the Optuna trial."""
        known = {RECIPE: self.recipe, REASON: self.reason}
        return dict(self.metrics) | {name: value for name, value in known.items() if value is not None}

    def constraints(self, max_parameters: int | None) -> dict[str, float]:
        """Optuna's constraints by name: parameters above the student's limit, at most 0. Empty without a limit or a student."""
        if max_parameters is None or metric.PARAMETERS not in self.metrics:
            return {}
        return {MAX_PARAMETERS: self.metrics[metric.PARAMETERS] - max_parameters}

    def close(self, tracker: Tracker, key: str) -> dict[str, Any]:
        """End the MLflow run ``key``. Returns the attributes of the Optuna trial, including the record id of that run."""
        record = tracker.close_run(key, self.status, self.metrics, self.tags, self.curve, self.files)
        return self.attributes | {RECORD: record}


def ending(
    problem: Problem,
    outcome: Outcome,
    objective: str,
    *,
    pareto: str | None = None,
    runtime: str | None = None,
    pruned: str | None = None,
    about: Mapping[str, Any] | None = None,
) -> Ending:
    """The ending of a distillation with an outcome.

    Args:
        problem: the problem that the student was distilled on.
        outcome: the result of the distillation.
        objective: ``robust``, ``rmse`` or ``nrmse``.
        pareto: second objective, ``parameters`` or ``latency``; None without one.
        runtime: what its latency is measured in; None for plain PyTorch.
        pruned: why it was pruned; None if it was not. A student that diverged counts as pruned.
        about: entries about its origin for the student's files; None makes no files.
    """
    reason = outcome.failure or pruned
    shown = replace(outcome, selection=None, stress=None) if reason else outcome
    metrics = {name: float(value) for name, value in shown.metrics().items()}
    recipe = json.dumps(outcome.recipe.tree())
    if reason:
        return Ending(State.PRUNED, reason, (), metrics, recipe, outcome.curve)
    if runtime is not None:
        metrics[metric.LATENCY] = _latency_in(runtime, problem, outcome)
    values = (outcome.objective(objective), *((metrics[COSTS[pareto]],) if pareto else ()))
    files = None
    if about is not None:
        from dfkd_tune.export.student_files import student_files
        from dfkd_tune.export.synthetic_rows import synthetic_file

        files = student_files(problem, outcome, about) | synthetic_file(problem, outcome)
    return Ending(State.COMPLETE, None, values, metrics, recipe, outcome.curve, files)


def _latency_in(runtime: str, problem: Problem, outcome: Outcome) -> float:
    """Microseconds of a student for one row in a runtime."""
    from dfkd_tune.export.schema import InputSchema
    from dfkd_tune.export.speed import one_row
    from dfkd_tune.export.speed import runtime as runs

    encoding = problem.encoder.encoding
    rows = problem.inputs.raw(problem.sample.z[:2], encoding.torch_dtype)
    module = problem.module(outcome.recipe.student, outcome.weights)
    return one_row(runs(runtime, module, InputSchema(problem.inputs.names, encoding, rows)), rows[:1])


def stopped(curve: Sequence[tuple[int, float]], reason: str | None = None, state: State = State.INTERRUPTED) -> Ending:
    """The ending of a distillation without an outcome.

    Args:
        curve: points ``(step, rmse)`` up to the stop.
        reason: why it stopped, if known.
        state: ``INTERRUPTED`` or ``FAIL``.
    """
    return Ending(state, reason, curve=curve)


def recorded_ending(trial: FrozenTrial) -> Ending:
    """The ending of a trial as Optuna's storage holds it: everything except curve and files."""
    known = trial.user_attrs
    figures = {name: float(value) for name, value in known.items() if isinstance(value, int | float)}
    metrics = {name: value for name, value in figures.items() if name not in BOOKKEEPING}
    values = tuple(trial.values or ()) if trial.state.name == State.COMPLETE else ()
    return Ending(State(trial.state.name), known.get(REASON), values, metrics, known.get(RECIPE))


def published(
    tracker: Tracker,
    uri: str,
    storage: PatientStorage,
    study: optuna.Study,
    problem: Problem,
    leading: Sequence[Promoted],
    ended: int,
) -> dict[str, Any]:
    """Publish a study that has ended, and return its summary, which is recorded with it.

    Args:
        tracker, uri, storage, study, problem: MLflow records and tracking URI, Optuna's storage and study, and its problem.
        leading: the best student of each leading recipe, the promoted one first.
        ended: number of trials that have ended.
    """
    from dfkd_tune.reporting import publication  # a second's import, for which no worker should wait

    parent = tracker.parent if tracker.settle() else None  # else ``sync`` completes the rest later
    certificate = publication.publish(uri, storage, study, parent, problem, leading)
    asked = StudyRecord.of(study)
    summary = {"trials": ended, STARTED: asked.started, "at": time.time(), **publication.summary_of(certificate)}
    if asked.total_queries is not None:
        known = asked.certified_rows if certificate is None else asked.queries.get(CERTIFICATE, 0)
        summary[CERTIFIED] = known
    study.set_user_attr(SUMMARY, summary)
    return summary


def study_ending(
    counts: Mapping[str, float], best: tuple[float, int] | None, leading: Sequence[Promoted], report: float | None
) -> tuple[dict[str, float], dict[str, Any]]:
    """What MLflow records on the parent run when a process ends: metrics and tags.

    Args:
        counts: name -> value of further metrics of the study.
        best: objective and number of the best complete trial.
        leading: the best student of each leading recipe, the promoted one first; empty if the study has not ended.
        report: RMSE of the promoted student on the report bank.
    """
    metrics, tags = {**counts}, {}
    if best is not None:
        tags[tag.BEST_TRIAL] = best[1]
    if leading:
        tags[tag.PROMOTED] = leading[0].run
        tags[tag.LEADERS] = ", ".join(each.run for each in leading)
        metrics["promoted_rmse"] = leading[0].rmse
    metrics = {f"{metric.STUDY}{name}": value for name, value in metrics.items()}
    if report is not None:
        metrics[metric.CERTIFICATE_RMSE] = report
    return metrics, tags
