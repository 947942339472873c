"""How a distillation ends on record: what Optuna and MLflow get, the same for a trial, a re-run, the baseline and a study of one's own.

A complete trial has values, figures and files. A trial that was pruned, diverged, failed or was interrupted has none of the student's
figures: neither Optuna nor MLflow shows an RMSE that nobody may compare with a result.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from dfkd_tune.search.attributes import ATTEMPTS, REASON, RECIPE, RECORD
from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.states import RunStatus, State
from dfkd_tune.training import metrics as metric

if TYPE_CHECKING:  # ``sync`` reads endings from a storage without PyTorch
    from dfkd_tune.tracking.tracker import Tracker
    from dfkd_tune.training.distill import Outcome
    from dfkd_tune.training.problem import Problem

COSTS = {"parameters": metric.PARAMETERS, "latency": metric.LATENCY}
"""What a study may weigh against its objective -> the metric that holds it."""
BOOKKEEPING = {ATTEMPTS}
"""Attributes of a trial that are numbers, but no figures of a student."""


@dataclass(frozen=True)
class Ending:
    """What a distillation ends with.

    Args:
        state: how it ended.
        reason: why it has no student; None where it has one.
        values: what Optuna minimizes, the objective first; empty unless it is complete.
        metrics: figures for MLflow, which are attributes of the Optuna trial too.
        recipe: as JSON; None where it is not known.
        curve: ``(step, rmse)`` on the pruning bank.
        files: artifact path -> content; None where there is no student, or nobody asked for its files.
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
        """Of the MLflow run."""
        return {tag.STATE: self.state} | ({tag.REASON: self.reason} if self.reason else {})

    @property
    def attributes(self) -> dict[str, Any]:
        """Of the Optuna trial."""
        known = {RECIPE: self.recipe, REASON: self.reason}
        return dict(self.metrics) | {name: value for name, value in known.items() if value is not None}

    def close(self, tracker: Tracker, key: str) -> dict[str, Any]:
        """End the MLflow run ``key``. Returns the attributes of the Optuna trial, which name the record of that run."""
        record = tracker.close_run(key, self.status, self.metrics, self.tags, self.curve, self.files)
        return self.attributes | {RECORD: record}


def ending(
    problem: Problem,
    outcome: Outcome,
    objective: str,
    *,
    pareto: str | None = None,
    pruned: str | None = None,
    about: Mapping[str, Any] | None = None,
) -> Ending:
    """What an outcome is on record.

    Args:
        problem: of the student.
        outcome: of its distillation.
        objective: ``robust``, ``rmse`` or ``nrmse``.
        pareto: ``parameters`` or ``latency``, where Optuna minimizes it too.
        pruned: why it was pruned; None where it was not. A student that diverged counts as pruned.
        about: what the student's files say of their origin; None makes no files.
    """
    reason = outcome.failure or pruned
    shown = replace(outcome, selection=None, stress=None) if reason else outcome
    metrics = {name: float(value) for name, value in shown.metrics().items()}
    recipe = json.dumps(outcome.recipe.tree())
    if reason:
        return Ending(State.PRUNED, reason, (), metrics, recipe, outcome.curve)
    values = (outcome.objective(objective), *((metrics[COSTS[pareto]],) if pareto else ()))
    files = None
    if about is not None:
        from dfkd_tune.export.student_files import student_files
        from dfkd_tune.export.synthetic_rows import synthetic_file

        files = student_files(problem, outcome, about) | synthetic_file(problem, outcome)
    return Ending(State.COMPLETE, None, values, metrics, recipe, outcome.curve, files)


def stopped(curve: Sequence[tuple[int, float]], reason: str | None = None, state: State = State.INTERRUPTED) -> Ending:
    """What a distillation without an outcome is on record.

    Args:
        curve: as far as it came.
        reason: why it stopped, where there is something to say.
        state: ``INTERRUPTED`` or ``FAIL``.
    """
    return Ending(state, reason, curve=curve)


def recorded_ending(trial: FrozenTrial) -> Ending:
    """What Optuna's storage holds of the ending of a trial: all but curve and files."""
    known = trial.user_attrs
    figures = {name: float(value) for name, value in known.items() if isinstance(value, int | float)}
    metrics = {name: value for name, value in figures.items() if name not in BOOKKEEPING}
    values = tuple(trial.values or ()) if trial.state.name == State.COMPLETE else ()
    return Ending(State(trial.state.name), known.get(REASON), values, metrics, known.get(RECIPE))
