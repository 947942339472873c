"""Repeat a recorded run with its recipe, seed and banks, and compare the new student with the recorded one."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dfkd_tune.errors import NotFound
from dfkd_tune.locations.paths import existing
from dfkd_tune.recipes.recipe import Recipe, from_leaves
from dfkd_tune.registry import certificates
from dfkd_tune.registry.sources import Sources
from dfkd_tune.tracking import params as param
from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.connection import guarded, open_client, preflight, single_attempt
from dfkd_tune.tracking.states import RunStatus
from dfkd_tune.tracking.tags import RunKind
from dfkd_tune.training import metrics as metric
from dfkd_tune.training.distill import Outcome
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils import hardware

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

TOLERANCE = 0.02
"""Largest relative difference in RMSE of a replayed student; batches and machines sum floats in different orders."""
NEEDED = {param.SEED, param.BANK, param.POOL}
"""Parameters of the parent run that are needed to draw its banks again."""


@dataclass(frozen=True)
class Replay:
    """Everything needed to repeat a run.

    Args:
        run_id: id of the MLflow run.
        problem: problem of its study.
        recipe, seed: recipe and seed of its student.
        curve: recorded step -> RMSE on the pruning bank.
        rmse: recorded RMSE on the selection bank; None if the run has no finished student.
    """

    run_id: str
    problem: Problem
    recipe: Recipe
    seed: int
    curve: Mapping[int, float]
    rmse: float | None

    def compare(self, outcome: Outcome) -> dict[str, Any]:
        """Compare a new student with the recorded one, as plain values.

        For a run that was pruned or stopped, which has no student, the last point of its curve is compared.
        """
        mine = dict(outcome.curve)
        if self.rmse is not None:
            assert outcome.selection is not None  # the new student is complete here
            recorded, found = self.rmse, outcome.selection.rmse
        elif common := self.curve.keys() & mine.keys():
            recorded, found = self.curve[max(common)], mine[max(common)]
        else:
            return {"run": self.run_id, "tolerance": TOLERANCE}
        differs = abs(found - recorded) / recorded
        return {"run": self.run_id, "recorded_rmse": recorded, "differs": differs, "tolerance": TOLERANCE}


def load_replay(uri: str, run_id: str, sources: Sources, device: str = "cpu") -> Replay:
    """Load a run of a study, in any state, so that it can be repeated.

    Args:
        uri: MLflow tracking URI.
        run_id: id of the run of a trial, a re-run or the baseline.
        sources: current paths of teacher and features, if they have moved.
        device: device of the distillation.

    Raises:
        NotFound: if there is no such run, or it belongs to no study.
        StudyMismatch: if the teacher or the features are not those of the study.
        SpecError: if its parameters are no valid recipe.
        TrackingError: if MLflow cannot be reached.
    """
    place = f"run {run_id}"
    preflight(existing(uri, place), write=False)
    client = open_client(uri)
    with single_attempt(uri), guarded(uri):
        run = _get(client, run_id)
        above = run.data.tags.get(tag.PARENT)
        parent = _get(client, above) if above else None
        points = client.get_metric_history(run_id, metric.CURVE_RMSE)
    if (
        parent is None
        or parent.data.tags.get(tag.KIND) != RunKind.STUDY
        or not (parent.data.params.keys() >= NEEDED or tag.TOTAL_QUERIES in parent.data.tags)
        or param.SEED not in run.data.params
    ):
        raise NotFound(place, "is no trial of a study", remedy="a recipe.yaml goes with --recipe")
    assert parent.info.run_name is not None  # every parent run has a name
    if run.data.tags.get(tag.KIND) == RunKind.SMALLER:
        rule = "was pruned from another student, whose weights its recipe does not tell"
        raise NotFound(place, rule, remedy="name the run of the trial, or export the student")
    leaves = {leaf: _plain(text) for leaf, text in run.data.params.items() if leaf not in (param.TRIAL, param.SEED)}
    return Replay(
        run_id,
        certificates.rebuild_problem(
            parent.info.run_name, parent.data.params, parent.data.tags, sources, "a replay", hardware.device(device)
        ),
        from_leaves(leaves, place),
        int(run.data.params[param.SEED]),
        {point.step: point.value for point in points},
        run.data.metrics.get(metric.RMSE) if run.info.status == RunStatus.FINISHED else None,
    )


def _get(client: MlflowClient, run_id: str) -> Run:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise NotFound(f"run {run_id}", "is unknown to this MLflow", remedy="give its --tracking-uri") from None


def _plain(text: str) -> Any:
    """The value of a recorded parameter, which MLflow stores as text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
