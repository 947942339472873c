"""Models of MLflow, from a registry or a folder: their network is read without running code of its own."""

import shutil
from pathlib import Path

import mlflow
import numpy as np
import onnx
import pytest
import torch
from sklearn.ensemble import RandomForestRegressor
from sklearn.svm import SVR
from teacher_files import FEATURES, ROWS, answers, fails, wide
from torch import nn

from dfkd_tune.errors import TeacherError
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe

X = np.random.default_rng(0).standard_normal((40, 3))


def tiny():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).eval().requires_grad_(False)


def ask(teacher, x=X):
    return teacher(torch.from_numpy(x).to(teacher.dtype))[:, 0].numpy()


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """A local MLflow registry with a torch network and a scikit-learn estimator, version 1 and alias ``best`` of each."""
    folder = tmp_path_factory.mktemp("registry")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        client = mlflow.MlflowClient()
        experiment = client.create_experiment("teachers", artifact_location=(folder / "artifacts").as_uri())
        with mlflow.start_run(experiment_id=experiment):
            kind = {"serialization_format": "pt2", "pip_requirements": ["torch"], "input_example": X[:2].astype("f4")}
            mlflow.pytorch.log_model(tiny(), name="net", registered_model_name="net", **kind)
            svr = SVR().fit(X, X[:, 0])
            kind = {"serialization_format": "skops", "pip_requirements": ["scikit-learn"]}
            mlflow.sklearn.log_model(svr, name="svr", registered_model_name="svr", **kind)
        for name in ("net", "svr"):
            client.set_registered_model_alias(name, "best", "1")
        yield {"net": tiny()(torch.from_numpy(X).float())[:, 0].numpy(), "svr": svr.predict(X)}


@pytest.mark.parametrize("name, differentiable", [("net", True), ("svr", False)])
def test_a_registered_model_is_a_teacher(registry, name, differentiable):
    for address in (f"models:/{name}/1", f"models:/{name}@best"):
        teacher = load_teacher(address)
        assert teacher.source == address
        assert np.allclose(ask(teacher), registry[name], rtol=1e-5, atol=1e-6)
    assert probe(teacher, Inputs.unknown(3)).differentiable == differentiable


def test_a_model_that_is_not_registered_is_told_in_one_line(registry):
    with pytest.raises(TeacherError, match=r"^models:/nobody/1: cannot be had from MLflow: .*$"):
        load_teacher("models:/nobody/1")


@pytest.fixture(scope="module")
def logged(tmp_path_factory) -> Path:
    """Models as MLflow saves them, a folder a flavor."""
    folder = tmp_path_factory.mktemp("logged")
    x = np.random.default_rng(0).normal(size=(40, FEATURES))
    example = {"input_example": x[:2].astype("f4"), "pip_requirements": ["torch"]}
    mlflow.pytorch.save_model(wide(0), folder / "pt2", serialization_format="pt2", **example)
    mlflow.pytorch.save_model(wide(0), folder / "pth", serialization_format="pickle", pip_requirements=["torch"])
    names = {"dynamo": False, "input_names": ["x"], "dynamic_axes": {"x": {0: "rows"}}}
    torch.onnx.export(wide(0), (torch.zeros(2, FEATURES),), folder / "wide.onnx", **names)
    mlflow.onnx.save_model(onnx.load(folder / "wide.onnx"), folder / "onnx", pip_requirements=["onnx"])
    forest = RandomForestRegressor(2, random_state=0).fit(x, x[:, 0])
    trusted = {"skops_trusted_types": ["sklearn.tree._tree.Tree"], "pip_requirements": ["scikit-learn"]}
    mlflow.sklearn.save_model(forest, folder / "skops", serialization_format="skops", **trusted)
    mlflow.sklearn.save_model(forest, folder / "pickle", serialization_format="pickle", **trusted)
    return folder


@pytest.mark.parametrize("flavor", ["pt2", "onnx"])
def test_a_folder_of_mlflow_is_a_teacher(logged, flavor):
    teacher = load_teacher(logged / flavor)
    torch.testing.assert_close(answers(teacher).float(), wide(0)(ROWS.float()), rtol=1e-5, atol=1e-6)
    assert teacher.dtype == torch.float32 and teacher.width == FEATURES


def test_pickled_flavors_need_trust(logged):
    for flavor in ("pth", "pickle"):
        with fails(logged / flavor, "only a pickled model", "--trust-pickle"):
            load_teacher(logged / flavor)
    module = load_teacher(logged / "pth", trust_pickle=True)
    torch.testing.assert_close(answers(module).float(), wide(0)(ROWS.float()), rtol=1e-5, atol=1e-6)
    forest = load_teacher(logged / "pickle", trust_pickle=True)
    assert torch.equal(answers(forest), answers(load_teacher(logged / "skops")))
    assert forest.estimator is not None


def test_mlmodel_says_which_file_is_the_model(logged, tmp_path):
    model = Path(shutil.copytree(logged / "pt2", tmp_path / "model"))
    expected = load_teacher(model)
    decoy = wide(1)
    program = torch.export.export(decoy, (torch.zeros(2, FEATURES),))
    (model / "a").mkdir()
    torch.export.save(program, model / "a" / "a.pt2")
    torch.export.save(program, model / "data" / "a.pt2")
    found = load_teacher(model)
    torch.testing.assert_close(answers(found), answers(expected))
    assert found.sha256 != expected.sha256, "every part is in the hash"


def test_parts_of_a_folder_of_mlflow_that_are_missing_or_elsewhere(logged, tmp_path):
    model = Path(shutil.copytree(logged / "onnx", tmp_path / "model"))
    (data,) = model.glob("*.data")
    data.unlink()
    with fails(data, "missing"):
        load_teacher(model)
    about = model / "MLmodel"
    about.write_text(about.read_text().replace("model.onnx", "../up.onnx"))
    with fails(about, "does not lie in its folder"):
        load_teacher(model)
    about.write_text("flavors: [")
    with fails(about, "cannot be read"):
        load_teacher(model)


def test_a_tensor_model_of_mlflow_gets_arrays_by_name(tmp_path):
    from mlflow.models.signature import ModelSignature
    from mlflow.types import Schema, TensorSpec

    class Model(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return {"y": model_input["signal"].sum((1, 2)) + model_input["region"]}

    specs = [("signal", (-1, 3, 2), "float32"), ("region", (-1,), "int64")]
    inputs = Schema([TensorSpec(np.dtype(kind), shape, name) for name, shape, kind in specs])
    folder = tmp_path / "model"
    mlflow.pyfunc.save_model(folder, python_model=Model(), signature=ModelSignature(inputs=inputs), pip_requirements=[])
    features = tmp_path / "features.yaml"
    features.write_text("arguments: {region: {levels: [0, 1]}}")
    teacher, known = with_inputs(load_teacher(folder, trust_pickle=True), features)
    assert str(teacher.signature) == "signal (N, 3, 2) float32, region (N,) int64 -> y (N,)"
    x = known.raw(known.draw(5, torch.Generator().manual_seed(0)), teacher.dtype)
    torch.testing.assert_close(teacher(x)[:, 0], x.sum(1))
