"""The run that ``mlflow run`` started for this process and named in ``MLFLOW_RUN_ID``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dfkd_tune.tracking import tags as tag

if TYPE_CHECKING:
    from mlflow import MlflowClient


def given_run(client: MlflowClient, experiment_id: str, study: str) -> str | None:
    """Id of that run if the study can use it as its parent run; otherwise None.

    A run of another experiment cannot be the parent, because MLflow nests runs only within an experiment. It gets tags that
    point to the study instead.
    """
    run_id = os.environ.get("MLFLOW_RUN_ID")
    if run_id is None or client.get_run(run_id).info.experiment_id == experiment_id:
        return run_id
    client.set_tag(run_id, tag.STUDY, study)
    client.set_tag(run_id, tag.EXPERIMENT, experiment_id)
    return None
