"""A student whose version declares its columns, beside the one that does not: both are found, completed and measured."""

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from mlflow.tracking._tracking_service.utils import _use_tracking_uri

from dfkd_tune import register
from dfkd_tune.errors import SpecError, StudyMismatch
from dfkd_tune.registry.aliases import rollback
from dfkd_tune.registry.logged_models import log_leaders
from dfkd_tune.registry.stored_student import load_trial
from dfkd_tune.registry.versions import find_model
from dfkd_tune.study.session import run_study
from dfkd_tune.study.sync import sync
from dfkd_tune.study.upkeep import plan_removal
from dfkd_tune.tracking.connection import pointed_at

pytestmark = [
    pytest.mark.usefixtures("undrawn"),
    pytest.mark.filterwarnings("ignore:Hint. Inferred schema contains integer"),
]
MODEL = "columns"


@pytest.fixture(scope="module")
def measured(store, tiny, tmp_path_factory):
    """A finished study, two of whose three features are whole numbers."""
    file = tmp_path_factory.mktemp("features") / "features.yaml"
    file.write_text(
        "features: [{name: load, mean: 3, std: 2}, {name: count, range: [0, 9], integer: true}, {name: valve, levels: [0, 1]}]\n"
    )
    prepared = tiny("columns", trials=2, population=2, leaders=2, reruns=1, features=str(file))
    run_study(prepared, store.storage, store.tracking)
    return store.tracking


@pytest.fixture(scope="module")
def both(measured):
    """The promoted student registered twice: without and with declared columns."""
    return register(measured, "columns", MODEL), register(measured, "columns", MODEL, typed_columns=True)


def table() -> pd.DataFrame:
    return pd.DataFrame({"load": [2.5, 1.0, 4.5], "count": [3, 4, 9], "valve": [0, 1, 1], "y": [0.1, 0.2, 0.3]})


def test_a_run_has_a_model_of_each_kind_and_registering_again_finds_it(measured, both):
    bare, typed = both
    assert (bare.version, typed.version, bare.run_id) == (1, 2, typed.run_id)
    client = MlflowClient(measured)
    assert register(measured, "columns", MODEL).version == 1
    assert register(measured, "columns", MODEL, typed_columns=True).version == 2
    run = client.get_run(typed.run_id)
    models = find_model(client, run), find_model(client, run, typed=True)
    assert len(run.outputs.model_outputs) == 2 and models[1].name == f"{models[0].name}-typed-columns"
    values = [{each.key: (each.value, each.dataset_name) for each in model.metrics} for model in models]
    assert values[0] == values[1] and "certificate/rmse" in values[0]
    assert [model.tags.get("dfkd.typed_columns") for model in models] == [None, "true"]
    versions = [client.get_model_version(MODEL, number) for number in ("1", "2")]
    assert [version.tags.get("dfkd.typed_columns") for version in versions] == [None, "true"]
    assert versions[1].tags.items() - versions[0].tags.items() == {("dfkd.typed_columns", "true")}
    assert "| count | long |" in versions[1].description and "| count | double |" in versions[0].description
    assert "columns version 1, columns version 2" in run.data.tags["dfkd.registered"]
    assert rollback(measured, MODEL).version == 1
    assert register(measured, "columns", MODEL, typed_columns=True).version == 2


def test_a_version_declares_what_mlflow_infers(measured, both):
    with _use_tracking_uri(measured):
        bare, typed = (mlflow.pyfunc.load_model(f"models:/{MODEL}/{number}") for number in (1, 2))
    rows = table().drop(columns="y")
    assert bare.metadata.get_input_schema() is None
    assert typed.metadata.get_input_schema() == infer_signature(rows).inputs
    pd.testing.assert_frame_equal(typed.predict(rows), bare.predict(rows))
    with pytest.raises(MlflowException, match="Failed to enforce schema"):
        typed.predict(rows.astype({"load": int}))
    assert bare.predict(rows.astype({"load": int})).notna().all(axis=None)


def test_versions_made_in_the_pages_are_completed_by_sync(store, measured, both):
    client = MlflowClient(measured)
    run = client.get_run(both[0].run_id)
    client.create_registered_model("by page")
    for typed in (False, True):
        logged = find_model(client, run, typed)
        with pointed_at(measured):
            client.create_model_version("by page", f"models:/{logged.model_id}", run.info.run_id)
    with pytest.raises(StudyMismatch, match=r"by page version \d"):
        plan_removal("columns", store.storage, measured)
    assert sync(store.storage, measured, "columns").versions == 2
    for number in ("1", "2"):
        page, own = (client.get_model_version(model, number) for model in ("by page", MODEL))
        assert page.tags == own.tags and page.description == own.description
    again = sync(store.storage, measured, "columns")
    assert (again.versions, again.models, again.certified) == (0, 0, False)
    assert [register(measured, "columns", "by page", typed_columns=typed).version for typed in (False, True)] == [1, 2]


def test_a_certificate_reaches_every_model_of_a_run(measured):
    """Of a student that was a logged model before it is certified, for a version that declares its columns."""
    client = MlflowClient(measured)
    runs = [load_trial(measured, "columns", number)[2] for number in (0, 1)]
    run = next(each for each in runs if "certificate/rmse" not in each.data.metrics)
    log_leaders(measured, "columns", [run.info.run_name])
    register(measured, "columns", "leader", trial=int(run.data.params["trial"]), typed_columns=True)
    for typed in (False, True):
        logged = find_model(client, run, typed)
        held = {file.path for file in client.list_logged_model_artifacts(logged.model_id, "certificate")}
        assert held == {"certificate/certificate.json", "certificate/certificate.html"}
        assert "certificate/rmse" in {metric.key for metric in logged.metrics}


def test_a_table_of_whole_numbers_is_evaluated(dfkd, measured, both, tmp_path):
    """``evaluate`` reads the student of the run, and the evaluator asks the student behind the version: neither meets MLflow's check."""
    whole = table().astype({"load": int})
    whole.to_csv(tmp_path / "real.csv", index=False)
    ended = dfkd("evaluate", "columns", "--data", "real.csv", "--target", "y", "--tracking-uri", measured)
    assert ended.status == 0, ended.err
    client = MlflowClient(measured)
    run = client.get_run(both[0].run_id)
    for typed in (False, True):
        assert "evaluation/rmse" in {metric.key for metric in find_model(client, run, typed).metrics}
    with _use_tracking_uri(measured):
        experiment, found = client.create_experiment("columns evaluated"), {}
        for number in (1, 2):
            uri, given = f"models:/{MODEL}/{number}", {"targets": "y", "model_type": "regressor"}
            with mlflow.start_run(experiment_id=experiment):
                found[number] = mlflow.models.evaluate(uri, whole, **given, evaluators="dfkd_fidelity").metrics
            with mlflow.start_run(experiment_id=experiment):
                assert "root_mean_squared_error" in mlflow.models.evaluate(uri, table(), **given).metrics
        assert found[1] == found[2] and np.isfinite(found[1]["fidelity/rmse"])
        with mlflow.start_run(experiment_id=experiment), pytest.raises(MlflowException, match="Failed to enforce"):
            mlflow.models.evaluate(f"models:/{MODEL}/2", whole, targets="y", model_type="regressor")


def test_tensors_are_declared_anyway(measured, monkeypatch):
    student, result, run = load_trial(measured, "columns", None)
    monkeypatch.setattr(
        "dfkd_tune.registry.register.load_trial", lambda *given: (student, result | {"layout": {}}, run)
    )
    with pytest.raises(
        SpecError, match=r"register: typed_columns=True: is for teachers that take tables.*leave it out"
    ):
        register(measured, "columns", "tensors", typed_columns=True)
    assert not MlflowClient(measured).search_registered_models("name = 'tensors'")


def test_a_model_that_a_dead_process_began_is_completed_by_sync(store, measured, monkeypatch):
    client = MlflowClient(measured)
    promoted = load_trial(measured, "columns", None)[2]
    register(measured, "columns", MODEL, typed_columns=True)
    client.delete_logged_model(find_model(client, promoted, typed=True).model_id)
    with monkeypatch.context() as patch:
        patch.setattr("dfkd_tune.registry.model_files.save", lambda *given: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            register(measured, "columns", "cut short", typed_columns=True)
    assert find_model(client, promoted, typed=True) is None
    monkeypatch.setattr("dfkd_tune.registry.logged_models.ABANDONED_S", -1)
    assert sync(store.storage, measured, "columns").models == 1
    assert find_model(client, promoted, typed=True) is not None and find_model(client, promoted) is not None
    assert sync(store.storage, measured, "columns").models == 0
