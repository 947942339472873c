"""Find the MLflow run of a student, and download its files."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dfkd_tune.compat.mlflow import EXPERIMENTS, RUNS_WITH
from dfkd_tune.errors import NotFound
from dfkd_tune.locations.paths import absolute, existing, sqlite_file, without_credentials
from dfkd_tune.locations.sqlite_files import rows_of
from dfkd_tune.tracking import params as param
from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.connection import open_client, preflight, quiet, refuse_foreign
from dfkd_tune.tracking.states import RunStatus
from dfkd_tune.tracking.tags import RunKind
from dfkd_tune.training import metrics as metric

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

RUN_NAME = re.compile(r"[A-Za-z0-9_.-]+")
MOST_NAMED = 50
"""Most studies that a message names."""


def require_study(uri: str, study: str, trial: int | None = None) -> None:
    """Check that MLflow can be reached and, without importing MLflow, that an SQLite file of it holds a study and a complete trial.

    What another kind of store holds is known once ``find_run`` has asked it.

    Args:
        uri: MLflow tracking URI.
        study: name of the study.
        trial: number of the trial; None for any.

    Raises:
        NotFound: there is no such file, study or complete trial.
        TrackingError: MLflow cannot be reached, or the file is not MLflow's.
    """
    preflight(existing(uri, f"study {study!r}"), write=False)
    file = sqlite_file(uri)
    stages = None if file is None else rows_of(file, EXPERIMENTS)
    if file is None or stages is None:
        return
    if (stage := dict(stages).get(study)) is None:
        raise _unknown(uri, study, [name for name, stage in stages if stage == "active"])
    if stage == "deleted":
        raise _deleted(uri, study)
    wanted = (study, RunStatus.FINISHED, tag.KIND, RunKind.TRIAL, param.TRIAL, str(trial))
    if trial is not None and rows_of(file, RUNS_WITH, *wanted) == []:
        raise _incomplete(study, trial)


def find_run(
    uri: str, study: str, trial: int | None = None, name: str | None = None, within: float | None = None
) -> Run:
    """The MLflow run of a student: by ``trial`` or run ``name``; by default the promoted one, or the best trial so far.

    With ``within``, it is the smallest student whose objective is at most that share above the best one's.

    Raises:
        NotFound: if there is no such study or trial, or no complete trial yet.
    """
    client = open_client(uri)
    experiment = client.get_experiment_by_name(study)
    if experiment is None:
        raise _unknown(uri, study, [e.name for e in client.search_experiments(max_results=MOST_NAMED + 1)])
    if experiment.lifecycle_stage == "deleted":
        raise _deleted(uri, study)
    parent = parent_of(client, experiment.experiment_id)
    if parent is None:
        refuse_foreign(client, experiment)
    objective = _objective(client, experiment.experiment_id, parent)
    if within is not None:
        return _smallest(client, experiment.experiment_id, study, objective, within)
    if trial is None and name is None and parent and parent.info.status == RunStatus.FINISHED:
        promoted = parent.data.tags.get(tag.PROMOTED, "")
        name = promoted if RUN_NAME.fullmatch(promoted) else None
    if name is not None:
        wanted = f"tags.`{tag.RUN}` = '{name}' and attributes.status = '{RunStatus.FINISHED}'"
    else:
        wanted = f"tags.`{tag.KIND}` = '{RunKind.TRIAL}' and attributes.status = '{RunStatus.FINISHED}'"
        wanted += f" and params.{param.TRIAL} = '{int(trial)}'" if trial is not None else ""
    runs = client.search_runs([experiment.experiment_id], wanted, order_by=[f"metrics.{objective} ASC"], max_results=1)
    if not runs:
        raise _incomplete(study, trial)
    return runs[0]


def _unknown(uri: str, study: str, names: Sequence[str]) -> NotFound:
    known = ", ".join([name for name in names if name != "Default"][:MOST_NAMED]) or "none"
    return NotFound(f"study {study!r}", f"is unknown to MLflow at {without_credentials(uri)}", remedy=f"known: {known}")


def _deleted(uri: str, study: str) -> NotFound:
    return NotFound(
        f"study {study!r}",
        f"was deleted in MLflow at {without_credentials(uri)}",
        remedy=f"dfkd-tune sync {study} restores it; give it the --storage and --tracking-uri of the study",
    )


def _incomplete(study: str, trial: int | None) -> NotFound:
    which = "" if trial is None else f" {trial}"
    return NotFound(f"study {study!r}", f"has no complete trial{which}", remedy=f"dfkd-tune show {study}")


def _objective(client: MlflowClient, experiment_id: str, parent: Run | None) -> str:
    """The objective of an experiment, from its parent run; from a trial's tags if the user's own Optuna study made the trials."""
    said = parent
    if said is None:
        trials = client.search_runs([experiment_id], f"tags.`{tag.OBJECTIVE}` != ''", max_results=1)
        said = trials[0] if trials else None
    return said.data.tags.get(tag.OBJECTIVE, "rmse") if said is not None else "rmse"


def _smallest(client: MlflowClient, experiment_id: str, study: str, objective: str, within: float) -> Run:
    """The run of the smallest student, re-runs included, whose objective is at most the share ``within`` above the best."""
    students = f"attributes.status = '{RunStatus.FINISHED}' and tags.`{tag.KIND}` != '{RunKind.STUDY}'"
    by = [f"metrics.{objective} ASC"]
    best = client.search_runs([experiment_id], f"{students} and metrics.{objective} >= 0", order_by=by, max_results=1)
    if not best:
        raise _incomplete(study, None)
    limit = best[0].data.metrics[objective] * (1 + within)
    near = f"{students} and metrics.{objective} <= {limit!r}"
    return client.search_runs([experiment_id], near, order_by=[f"metrics.{metric.PARAMETERS} ASC", *by], max_results=1)[
        0
    ]


def parent_run(uri: str, study: str) -> Run | None:
    """The parent run of a study; None if there is none."""
    client = open_client(uri)
    experiment = client.get_experiment_by_name(study)
    return parent_of(client, experiment.experiment_id) if experiment else None


def parent_of(client: MlflowClient, experiment_id: str) -> Run | None:
    """The parent run of an experiment; None if the experiment belongs to no study."""
    parents = client.search_runs([experiment_id], f"tags.`{tag.KIND}` = '{RunKind.STUDY}'", max_results=1)
    return parents[0] if parents else None


def trial_of(run: Run) -> int | None:
    """Number of the trial whose recipe a run has; None for the untuned baseline."""
    return int(run.data.params[param.TRIAL]) if param.TRIAL in run.data.params else None


def shortened(run: Run, parent: Run | None) -> tuple[int, int] | None:
    """Steps of a run's student, and of its study's finished students, if it trained fewer as trials may."""
    of_study = None if parent is None else parent.data.params.get(param.STEPS)
    if of_study is None or param.STEPS not in run.data.params:
        return None
    own, whole = int(run.data.params[param.STEPS]), int(of_study)
    return (own, whole) if own < whole else None


@contextmanager
def fetch(uri: str, run_id: str, part: str = "student") -> Iterator[Path]:
    """Download the artifacts of a run under ``part`` into a temporary directory.

    Raises:
        NotFound: if the run has none.
    """
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory() as folder, quiet():
        try:
            # Given run and path, MLflow would also look for a model of that name in its global store.
            stored = f"{open_client(uri).get_run(run_id).info.artifact_uri}/{part}"
            yield Path(download_artifacts(stored, dst_path=folder, tracking_uri=absolute(uri)))
        except Exception as error:
            if type(error).__module__.startswith("mlflow") or isinstance(error, OSError):
                raise NotFound(f"run {run_id}", f"holds no {part}: {str(error).splitlines()[0]}") from None
            raise
