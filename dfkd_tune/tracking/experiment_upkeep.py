"""Remove or rename the MLflow experiment of a study."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.connection import guarded, open_client, refuse_foreign
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
        client = open_client(uri)
        found = _experiment(client, study)
        return None if found is None else sum(1 for _ in _runs(client, found.experiment_id))


def retire(uri: str, study: str) -> str | None:
    """Delete a study's experiment as MLflow does, which keeps it until ``mlflow gc``; its name becomes free.

    Returns the name under which MLflow can restore it; None if there is no experiment.
    """
    with guarded(uri):
        client = open_client(uri)
        found = _experiment(client, study)
        if found is None:
            return None
        name = f"{study}-removed-{int(time.time())}"
        client.rename_experiment(found.experiment_id, name)
        client.delete_experiment(found.experiment_id)
        return name


def rename(uri: str, old: str, new: str) -> None:
    """Rename a study's experiment and parent run, and the study on the tags of its runs; repeating it does no harm."""
    with guarded(uri):
        client = open_client(uri)
        found = _experiment(client, old)
        if found is not None:
            client.rename_experiment(found.experiment_id, new)
        found = _experiment(client, new)
        for run in _runs(client, found.experiment_id) if found is not None else ():
            if run.data.tags.get(tag.STUDY) == old:
                client.set_tag(run.info.run_id, tag.STUDY, new)
            if run.data.tags.get(tag.KIND) == RunKind.STUDY and run.info.run_name == old:
                client.update_run(run.info.run_id, name=new)
        for model in models_in(client, found.experiment_id) if found is not None else ():
            if model.tags.get(tag.STUDY) == old:
                client.set_logged_model_tags(model.model_id, {tag.STUDY: new})


def exists(uri: str, study: str) -> bool:
    """Whether MLflow has an experiment of this name, deleted ones included."""
    with guarded(uri):
        return open_client(uri).get_experiment_by_name(study) is not None


def models_in(client: MlflowClient, experiment_id: str) -> Iterator[LoggedModel]:
    """The logged models of an experiment."""
    token = None
    while True:
        page = client.search_logged_models([experiment_id], page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _experiment(client: MlflowClient, study: str) -> Experiment | None:
    found = client.get_experiment_by_name(study)
    if found is None or found.lifecycle_stage == "deleted":
        return None
    refuse_foreign(client, found)
    return found


def _runs(client: MlflowClient, experiment_id: str) -> Iterator[Run]:
    token = None
    while True:
        page = client.search_runs([experiment_id], max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
