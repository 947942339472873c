"""Remove or rename the MLflow experiment of a study."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.connection import client, guarded, refuse_foreign
from dfkd_tune.tracking.tags import RunKind

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, LoggedModel, Run

PAGE = 1_000
"""Runs read at once."""


def count_runs(uri: str, study: str) -> int | None:
    """Number of runs in a study's experiment; None if there is no experiment.

    Raises:
        TrackingError: another program made it, or MLflow cannot be read.
    """
    with guarded(uri):
        made = client(uri)
        found = _experiment(made, study)
        return None if found is None else sum(1 for _ in _runs(made, found.experiment_id))


def retire(uri: str, study: str) -> str | None:
    """Delete a study's experiment as MLflow does, which keeps it until ``mlflow gc``; its name becomes free.

    Returns the name under which MLflow can restore it; None if there is no experiment.
    """
    with guarded(uri):
        made = client(uri)
        found = _experiment(made, study)
        if found is None:
            return None
        name = f"{study}-removed-{int(time.time())}"
        made.rename_experiment(found.experiment_id, name)
        made.delete_experiment(found.experiment_id)
        return name


def rename(uri: str, old: str, new: str) -> None:
    """Rename a study's experiment and parent run, and the study on the tags of its runs; repeating it does no harm."""
    with guarded(uri):
        made = client(uri)
        found = _experiment(made, old)
        if found is not None:
            made.rename_experiment(found.experiment_id, new)
        found = _experiment(made, new)
        for run in _runs(made, found.experiment_id) if found is not None else ():
            if run.data.tags.get(tag.STUDY) == old:
                made.set_tag(run.info.run_id, tag.STUDY, new)
            if run.data.tags.get(tag.KIND) == RunKind.STUDY and run.info.run_name == old:
                made.update_run(run.info.run_id, name=new)
        for model in models_in(made, found.experiment_id) if found is not None else ():
            if model.tags.get(tag.STUDY) == old:
                made.set_logged_model_tags(model.model_id, {tag.STUDY: new})


def exists(uri: str, study: str) -> bool:
    """Whether MLflow has an experiment of this name, deleted ones included."""
    with guarded(uri):
        return client(uri).get_experiment_by_name(study) is not None


def models_in(made: MlflowClient, experiment_id: str) -> Iterator[LoggedModel]:
    """The logged models of an experiment."""
    token = None
    while True:
        page = made.search_logged_models([experiment_id], page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _experiment(made: MlflowClient, study: str) -> Experiment | None:
    found = made.get_experiment_by_name(study)
    if found is None or found.lifecycle_stage == "deleted":
        return None
    refuse_foreign(made, found)
    return found


def _runs(made: MlflowClient, experiment_id: str) -> Iterator[Run]:
    token = None
    while True:
        page = made.search_runs([experiment_id], max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
