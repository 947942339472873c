"""The run that ``mlflow run`` started is the study's parent, or leads to it."""

import pytest
from mlflow import MlflowClient

from dfkd_tune.study.session import run_study
from dfkd_tune.tracking.project_run import given_run

pytestmark = pytest.mark.usefixtures("undrawn")


def test_a_run_given_in_another_experiment_leads_to_the_study(store, finished, monkeypatch):
    client = MlflowClient(store.tracking)
    own = client.get_experiment_by_name("finished").experiment_id
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    assert given_run(client, own, "finished") is None
    given = client.create_run(client.create_experiment("of-another-project")).info
    monkeypatch.setenv("MLFLOW_RUN_ID", given.run_id)
    assert given_run(client, given.experiment_id, "of-another-project") == given.run_id
    assert given_run(client, own, "finished") is None
    tags = client.get_run(given.run_id).data.tags
    assert (tags["dfkd.study"], tags["dfkd.experiment_id"]) == ("finished", own)


def test_a_study_takes_up_the_run_it_was_given(store, tiny, monkeypatch):
    """``mlflow run .`` makes the run and names it in the environment."""
    client = MlflowClient(store.tracking)
    experiment = client.create_experiment("adopted")
    given = client.create_run(experiment).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    run_study(tiny("adopted", trials=1, search={}), store.storage, store.tracking)
    (parent,) = store.runs("adopted", "study")
    assert parent.info.run_id == given
    assert parent.info.status == "FINISHED"
