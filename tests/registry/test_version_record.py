"""What a version says of its student: the figures of its certificate, of several outputs each, and links that lead back."""

import json

import pytest
from mlflow import MlflowClient
from wrong_students import Student

from dfkd_tune.evaluation.certificate import certify
from dfkd_tune.registry.stored_student import load_trial
from dfkd_tune.registry.version_record import Figures, describe_version, existing_version, figures, link_back
from dfkd_tune.registry.versions import find_model
from dfkd_tune.testing.problems import make_problem, network
from dfkd_tune.tracking.connection import pointed_at


@pytest.fixture
def client(store, finished, tmp_path) -> MlflowClient:
    """A store of its own, with the finished study in it."""
    store.lend_runs(tmp_path)
    return MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")


@pytest.mark.parametrize("outputs", [1, 2])
def test_figures_are_those_of_the_certificate(outputs):
    problem = make_problem(outputs=outputs)
    certificate = certify(problem, Student(network(outputs), lambda x: 0.25)).as_dict()
    found = figures(json.loads(json.dumps(certificate)))
    assert (found.report_rmse, found.worst_gap) == (certificate["report"]["rmse"], certificate["worst"]["gap"])
    assert f"{found.report_rmse:.4g}" in found.report_rmse_words
    assert (found.outputs_words is None) == (outputs == 1)
    assert figures(None) == Figures()


def test_a_version_tells_its_study_and_the_study_its_versions(client):
    uri = client.tracking_uri
    _, result, run = load_trial(uri, "finished", None)
    client.create_registered_model("a model")
    logged = find_model(client, run)
    with pointed_at(uri):
        source = f"models:/{logged.model_id}"
        made = [client.create_model_version("a model", source, run.info.run_id) for _ in range(10)]
        client.create_model_version("a model", "somewhere else", run.info.run_id)
    assert (
        existing_version(client, "a model", logged).version == made[-1].version
    )  # 10 is after 9, and 11 is of no model
    assert existing_version(client, "another", logged) is None
    for _ in range(2):  # as a repeated ``sync`` does
        describe_version(client, made[0], "finished", run, result, Figures())
        link_back(client, run)
    version = client.get_model_version("a model", "1")
    assert version.tags["dfkd.study"] == "finished" and "dfkd.report_rmse" not in version.tags
    assert "It has no certificate." in version.description and f"/runs/{run.info.run_id}" in version.description
    for holder in (run.info.run_id, version.tags["dfkd.study_run"]):
        tags = client.get_run(holder).data.tags
        assert tags["mlflow.note.content"].count("[a model version 10](#/models/a%20model/versions/10)") == 1
        assert "a model version 1, a model version 2, " in tags["dfkd.registered"]
    assert (
        client.get_run(version.tags["dfkd.study_run"]).data.tags["mlflow.note.content"].startswith("**A student with")
    )
