"""A registered model: its alias, its answers as a pyfunc and as a file that needs torch alone, and what is refused."""

import json
import re
import subprocess
import sys

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from mlflow.pyfunc import scoring_server

from dfkd_tune import register
from dfkd_tune.errors import ExportError, NotFound, SpecError
from dfkd_tune.registry import model_files
from dfkd_tune.tracking.run_lookup import find_run


@pytest.fixture(scope="session")
def champion(served):
    """The promoted student of the study on the server, registered there, and another trial's."""
    first = register(served.tracking_uri, "served", "pump")
    assert first.version == 1
    other = next(n for n in range(6) if n != served.promoted.trial)
    second = register(served.tracking_uri, "served", "pump", trial=other, alias="challenger")
    return first, second


def inputs() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((7, 3)).astype(np.float32)


def test_an_alias_points_to_the_registered_student(served, champion, student_of):
    uri, (first, second) = served.tracking_uri, champion
    assert (first.uri, first.trial) == ("models:/pump@champion", served.promoted.trial)
    assert (second.uri, second.version) == ("models:/pump@challenger", 2)
    client = MlflowClient(uri)
    version = client.get_model_version_by_alias("pump", "champion")
    assert int(version.version) == 1
    assert version.tags["dfkd.study"] == "served"
    assert version.tags["dfkd.trial"] == str(first.trial)
    assert float(version.tags["dfkd.rmse"]) == pytest.approx(served.promoted.rmse)
    assert f"{served.promoted.rmse:.4g} on the selection bank" in version.description
    assert re.search(
        rf"{served.report:.4g}, [\d.]+ % of the standard deviation.*, on the report bank", version.description
    )
    run = client.get_run(version.run_id)
    assert run.info.run_name == served.promoted.run
    assert run.info.status == "FINISHED"
    assert run.data.params["trial"] == str(first.trial)
    assert [output.model_id for output in run.outputs.model_outputs] == [version.source.removeprefix("models:/")]

    register(uri, "served", "pump", trial=second.trial)
    assert int(client.get_model_version_by_alias("pump", "champion").version) == second.version
    client.set_registered_model_alias("pump", "champion", "1")


@pytest.fixture
def pointed_at_server(served, monkeypatch):
    """A process whose MLflow is the server, by its environment."""
    from mlflow.tracking._tracking_service.utils import _use_tracking_uri

    monkeypatch.setenv("MLFLOW_TRACKING_URI", served.tracking_uri)
    with _use_tracking_uri(served.tracking_uri):
        yield served.tracking_uri


def test_the_registered_model_answers_like_the_student(pointed_at_server, champion, student_of):
    student, _ = student_of(pointed_at_server, MlflowClient().get_run(champion[0].run_id))
    model = mlflow.pyfunc.load_model("models:/pump@champion")
    x = inputs()
    with torch.no_grad():
        expected = student(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.predict(x[:1]), expected[:1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.predict(x.astype(np.float64)), expected, rtol=1e-5, atol=1e-6)
    network = mlflow.pytorch.load_model("models:/pump@champion")
    np.testing.assert_allclose(network(torch.from_numpy(x)).detach(), expected, rtol=1e-5, atol=1e-6)
    assert model.metadata.signature.outputs.to_dict()[0]["tensor-spec"] == {"dtype": "float32", "shape": (-1, 1)}
    assert "| x0 | double |" in mlflow.get_logged_model(model.model_id).tags["mlflow.note.content"]
    with pytest.raises(mlflow.exceptions.MlflowException, match="2 columns, the model takes 3"):
        model.predict(x[:, :2])


def test_the_registered_model_answers_rows_without_names(pointed_at_server, champion, student_of):
    """By the handler of ``mlflow models serve``; tests/export/test_export.py has the whole server."""
    student, _ = student_of(pointed_at_server, MlflowClient().get_run(champion[0].run_id))
    model, x = mlflow.pyfunc.load_model("models:/pump@champion"), inputs()
    for key in ("inputs", "instances"):
        body = json.dumps({key: x.tolist()})
        answer = scoring_server.invocations(body, "application/json", model, model.metadata.get_input_schema())
        assert answer.status == 200
        with torch.no_grad():
            answers = json.loads(answer.response)["predictions"]
            np.testing.assert_allclose(answers, student(torch.from_numpy(x)).numpy(), rtol=1e-4, atol=1e-5)


ALONE = """
import sys

class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("dfkd_tune", "mlflow", "optuna"):
            raise ImportError(name + " is not installed here")

sys.meta_path.insert(0, Gone())
import json, torch
student = torch.export.load(sys.argv[1]).module()
x = torch.tensor(json.loads(sys.argv[2]))
print(json.dumps([student(x[:1]).tolist(), student(x).tolist()]))
try:
    import dfkd_tune
except ImportError:
    sys.exit(7)
"""


def test_an_exported_student_needs_torch_alone(finished, store, student_of, dfkd, tmp_path):
    assert dfkd("export", "finished", "--out", "student.pt2", "--tracking-uri", store.tracking).status == 0
    student, _ = student_of(store.tracking, find_run(store.tracking, "finished", None))
    x = inputs()
    command = [sys.executable, "-I", "-c", ALONE, str(tmp_path / "student.pt2"), json.dumps(x.tolist())]
    alone = subprocess.run(command, capture_output=True, text=True)
    assert alone.returncode == 7, alone.stderr
    one, seven = json.loads(alone.stdout)
    with torch.no_grad():
        expected = student(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(one, expected[:1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(seven, expected, rtol=1e-5, atol=1e-6)


def test_what_cannot_be_registered_is_refused(finished, store):
    before = {model.name for model in MlflowClient(store.tracking).search_registered_models()}
    for wrong in ("", "a/b", "a:b", "-x"):
        with pytest.raises(SpecError, match="register: model: "):
            register(store.tracking, "finished", wrong)
    for wrong in ("", "v1", "latest", "a b", "9"):
        with pytest.raises(SpecError, match="register: alias: "):
            register(store.tracking, "finished", "refused", alias=wrong)
    with pytest.raises(NotFound, match=r"known: .*finished"):
        register(store.tracking, "nowhere", "refused")
    with pytest.raises(NotFound, match="no complete trial 99"):
        register(store.tracking, "finished", "refused", trial=99)
    assert {model.name for model in MlflowClient(store.tracking).search_registered_models()} == before


def test_a_model_that_refuses_its_own_rows_is_told_and_removed(finished, store, monkeypatch):
    """Its answers are the student's, so MLflow is not to blame."""
    monkeypatch.setattr(model_files, "request", lambda result, rows, typed: {"nothing": rows[:, 0]})
    with pytest.raises(ExportError, match=r"refuses rows of the student's own prior .*, so it was removed again"):
        register(store.tracking, "finished", "refusing")
    client = MlflowClient(store.tracking)
    assert not client.search_model_versions("name = 'refusing'")
    monkeypatch.undo()
    assert register(store.tracking, "finished", "refusing").version >= 1
