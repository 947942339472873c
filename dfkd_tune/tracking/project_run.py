"""The run that ``mlflow run`` has started for this process and named in ``MLFLOW_RUN_ID``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dfkd_tune.tracking import tags as tag

if TYPE_CHECKING:
    from mlflow import MlflowClient


def given_run(client: MlflowClient, experiment_id: str, study: str) -> str | None:
    """Id of the run that a study is to take up as its parent; None where there is none to take up.

    A run of another experiment cannot be the parent, as MLflow nests runs within one; it is tagged with the study instead, so
    that one finds the way.
    """
    run_id = os.environ.get("MLFLOW_RUN_ID")
    if run_id is None or client.get_run(run_id).info.experiment_id == experiment_id:
        return run_id
    client.set_tag(run_id, tag.STUDY, study)
    client.set_tag(run_id, tag.EXPERIMENT, experiment_id)
    return None
