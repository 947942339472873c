"""Versions made in MLflow's pages: described once, and told where their teacher is gone."""

from mlflow import MlflowClient

from dfkd_tune.errors import NotFound
from dfkd_tune.registry.page_versions import describe_missing
from dfkd_tune.registry.versions import find_model
from dfkd_tune.tracking.connection import pointed_at
from dfkd_tune.tracking.run_lookup import find_run, parent_run


def gone():
    raise NotFound("teacher.pt2", "is not on this machine")


def test_a_version_without_its_teacher_is_described_without_a_certificate(store, finished, tmp_path, caplog):
    store.lend_runs(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    client = MlflowClient(uri)
    assert describe_missing(uri, "finished", gone) == 0  # nothing is asked where nothing is missing
    client.create_registered_model("by hand")
    leaders = parent_run(uri, "finished").data.tags["dfkd.leaders"].split(", ")
    for run in (find_run(uri, "finished", name=name) for name in leaders):
        with pointed_at(uri):
            client.create_model_version("by hand", f"models:/{find_model(client, run).model_id}", run.info.run_id)
    assert describe_missing(uri, "finished", gone) == 2
    certified, bare = (client.get_model_version("by hand", number) for number in ("1", "2"))
    assert float(certified.tags["dfkd.report_rmse"]) == finished.report and "dfkd.report_rmse" not in bare.tags
    assert "dfkd.rmse" in bare.tags and "It has no certificate." in bare.description
    (told,) = (record.getMessage() for record in caplog.records if "no certificate yet" in record.getMessage())
    assert told.startswith("by hand version 2 has no certificate yet: teacher.pt2: is not on this machine")
    assert describe_missing(uri, "finished", gone) == 0
