"""The promoted student and the leaders as logged models, and what *Register model* in MLflow's pages makes of them."""

import json
import urllib.request

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient
from mlflow.tracking._tracking_service.utils import _use_tracking_uri

from dfkd_tune import register
from dfkd_tune.errors import StudyMismatch
from dfkd_tune.registry.versions import made_from
from dfkd_tune.study.session import run_study
from dfkd_tune.study.sync import sync
from dfkd_tune.study.upkeep import plan_removal

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def named(tmp_path_factory) -> str:
    """A features file with names, and levels."""
    file = tmp_path_factory.mktemp("features") / "features.yaml"
    file.write_text("features: [{name: load, mean: 3, std: 2}, {name: flow}, {name: grade, levels: [0, 1]}]\n")
    return str(file)


@pytest.fixture(scope="module")
def led(mlflow_server, tiny, named, tmp_path_factory):
    """A finished study recorded through a server, called ``led``, and the address of its storage."""
    storage = f"sqlite:///{tmp_path_factory.mktemp('led')}/optuna.db"
    prepared = tiny("led", trials=3, population=3, leaders=2, reruns=1, features=named)
    return run_study(prepared, storage, mlflow_server.url), storage


def models_of(uri: str, study: str) -> dict:
    """The logged models of a study, by the names of their runs."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(study).experiment_id
    found = client.search_logged_models([experiment])
    return {client.get_run(model.source_run_id).info.run_name: model for model in found}


def test_the_leaders_are_logged_models_whose_metrics_know_their_bank(mlflow_server, led):
    done, _ = led
    uri, models = mlflow_server.url, models_of(mlflow_server.url, "led")
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("led").experiment_id
    (parent,) = client.search_runs([experiment], "tags.`dfkd.kind` = 'study'")
    leaders = parent.data.tags["dfkd.leaders"].split(", ")
    assert leaders[0] == done.promoted.run and len(leaders) == 2 and set(leaders) == models.keys()
    banks = {}
    for name, model in models.items():
        run = client.get_run(model.source_run_id)
        assert model.status == "READY" and model.params == run.data.params and model.model_type == "regressor"
        assert [each.model_id for each in run.outputs.model_outputs] == [model.model_id]
        linked = {metric.key: metric for metric in model.metrics}
        assert {key: metric.value for key, metric in linked.items()} == {
            key: value for key, value in run.data.metrics.items() if not key.startswith("curve/")
        }
        assert linked["rmse"].dataset_name == "selection bank" and linked["stress_rmse"].dataset_name == "stress bank"
        assert linked["parameters"].dataset_name is None
        banks[name] = linked["rmse"].dataset_digest
        known = {(each.dataset.name, each.dataset.digest) for each in run.inputs.dataset_inputs}
        assert {(m.dataset_name, m.dataset_digest) for m in linked.values() if m.dataset_name} <= known
        assert ("certificate/rmse" in linked) == (name == done.promoted.run)
    assert len(set(banks.values())) == 1  # one bank of the study, whichever student is measured on it
    best = client.search_logged_models([experiment], order_by=[{"field_name": "metrics.rmse", "ascending": True}])
    assert best[0].model_id == min(models.values(), key=lambda m: {x.key: x.value for x in m.metrics}["rmse"]).model_id


def press_register(url: str, model: str, logged) -> None:
    """What *Register model* on the page of a logged model sends."""
    for path, body in (
        ("registered-models/create", {"name": model}),
        (
            "model-versions/create",
            {
                "name": model,
                "source": f"models:/{logged.model_id}",
                "run_id": logged.source_run_id,
                "tags": [],
                "model_id": logged.model_id,
            },
        ),
    ):
        request = urllib.request.Request(
            f"{url}/ajax-api/2.0/mlflow/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 200


def test_a_version_made_in_the_pages_is_what_register_makes(mlflow_server, led, monkeypatch):
    (done, storage), uri = led, mlflow_server.url
    logged = models_of(uri, "led")[done.promoted.run]
    press_register(uri, "by-hand", logged)
    client = MlflowClient(uri)
    assert made_from(uri, "led") == ["by-hand version 1"]  # before anything is known of it
    with pytest.raises(StudyMismatch, match="by-hand version 1"):
        plan_removal("led", storage, uri)
    assert register(uri, "led", "by-command").version == 1
    hand, command = (client.get_model_version(name, "1") for name in ("by-hand", "by-command"))
    assert hand.source == command.source == f"models:/{logged.model_id}" and hand.run_id == command.run_id
    assert len(models_of(uri, "led")) == 2  # ``register`` made no model of its own

    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with _use_tracking_uri(uri):
        model = mlflow.pyfunc.load_model("models:/by-hand/1")
        table = pd.DataFrame({"grade": [0, 1], "load": [3, 5], "flow": [0.5, -1.0]})
        answers = model.predict(table)
        assert np.isfinite(answers.to_numpy()).all()
        pd.testing.assert_frame_equal(answers, mlflow.pyfunc.load_model("models:/by-command/1").predict(table))
        network = mlflow.pytorch.load_model("models:/by-hand/1")
        rows = torch.tensor([[3, 0.5, 0], [5, -1, 1]])
        np.testing.assert_allclose(network(rows).detach(), answers, rtol=1e-5)
        assert [*model.input_example.columns] == ["load", "flow", "grade"]
        assert model.metadata.metadata["features"] == ["load", "flow", "grade"]
    there = {file.path for file in client.list_logged_model_artifacts(logged.model_id, "certificate")}
    assert there == {"certificate/certificate.json", "certificate/certificate.html"}

    done_by_sync = sync(storage, uri, "led")
    assert (done_by_sync.versions, done_by_sync.models) == (1, 0)
    hand = client.get_model_version("by-hand", "1")
    assert hand.tags == command.tags and hand.description == command.description
    assert float(hand.tags["dfkd.report_rmse"]) == pytest.approx(done.report)
    again = sync(storage, uri, "led")
    assert (again.versions, again.written, again.models, again.certified, again.summarized) == (0, 0, 0, False, False)
    # ``register`` of the same student takes the version up instead of making another.
    assert register(uri, "led", "by-hand").version == 1


def test_version_run_and_study_lead_to_each_other(mlflow_server, led):
    (done, _), uri = led, mlflow_server.url
    registered = register(uri, "led", "linked model")
    client = MlflowClient(uri)
    version = client.get_model_version("linked model", str(registered.version))
    run = client.get_run(registered.run_id)
    parent = client.get_run(version.tags["dfkd.study_run"])
    assert parent.info.run_name == "led" and version.tags["dfkd.run"] == run.info.run_name == done.promoted.run
    experiment = f"#/experiments/{run.info.experiment_id}/runs"
    for there in (run, parent):
        assert f"({experiment}/{there.info.run_id})" in version.description
        assert "linked model version 1" in there.data.tags["dfkd.registered"]
        assert "[linked model version 1](#/models/linked%20model/versions/1)" in there.data.tags["mlflow.note.content"]
    assert parent.data.tags["mlflow.note.content"].startswith("**A student with")  # the summary is still there
    assert "| grade | double |" in version.description
    (named,) = (
        each
        for each in json.loads(models_of(uri, "led")[done.promoted.run].tags["mlflow.modelVersions"])
        if each["name"] == "linked model"
    )
    assert int(named["version"]) == 1


def test_a_version_of_a_student_without_certificate_gets_one_by_sync(mlflow_server, led):
    (done, storage), uri = led, mlflow_server.url
    (other,) = (name for name in models_of(uri, "led") if name != done.promoted.run)
    logged, client = models_of(uri, "led")[other], MlflowClient(uri)
    press_register(uri, "another", logged)
    assert sync(storage, uri, "led").versions == 1
    version = client.get_model_version("another", "1")
    with _use_tracking_uri(uri):
        held = json.loads(mlflow.artifacts.load_text(f"{logged.artifact_location}/certificate/certificate.json"))
    assert float(version.tags["dfkd.report_rmse"]) == held["report"]["rmse"]
    assert held["student"]["run_id"] == logged.source_run_id
    linked = {metric.key: metric for metric in models_of(uri, "led")[other].metrics}
    assert linked["certificate/rmse"].dataset_name == "report bank"
