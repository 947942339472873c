"""Black boxes from files: scikit-learn, ONNX, models of MLflow, and what is refused of them."""

import joblib
import mlflow
import numpy as np
import pytest
import skops.io
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.svm import SVR
from tiny_studies import STUDIES
from torch import nn

from dfkd_tune.errors import TeacherError
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe

X = np.random.default_rng(0).standard_normal((40, 3))


class Doubled(BaseEstimator, RegressorMixin):
    """An estimator of one's own."""

    def fit(self, x, y):
        self.n_features_in_ = x.shape[1]
        return self

    def predict(self, x):
        return 2 * x[:, 0]


def ask(teacher, x=X):
    return teacher(torch.from_numpy(x).to(teacher.dtype))[:, 0].numpy()


def test_skops_of_scikit_learn_answers_and_any_other_type_is_refused(tmp_path):
    svr = SVR().fit(X, X[:, 0])
    skops.io.dump(svr, tmp_path / "svr.skops")
    teacher = load_teacher(tmp_path / "svr.skops")
    assert np.array_equal(ask(teacher), svr.predict(X)) and teacher.width == 3
    skops.io.dump(Doubled().fit(X, X[:, 0]), tmp_path / "own.skops")
    with pytest.raises(
        TeacherError, match=r"^.*own\.skops: holds .*Doubled: code from outside of scikit-learn.*; --trust-pickle.*$"
    ):
        load_teacher(tmp_path / "own.skops")
    assert np.array_equal(ask(load_teacher(tmp_path / "own.skops", trust_pickle=True)), 2 * X[:, 0])


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


@pytest.mark.parametrize("suffix", [".joblib", ".pkl"])
def test_joblib_is_refused_without_trust_and_not_run(tmp_path, suffix):
    joblib.dump(Payload(tmp_path / "marker"), tmp_path / f"bad{suffix}")
    with pytest.raises(TeacherError, match=r"is a pickle.*skops.*, or --trust-pickle"):
        load_teacher(tmp_path / f"bad{suffix}")
    assert not (tmp_path / "marker").exists()
    svr = SVR().fit(X, X[:, 0])
    joblib.dump(svr, tmp_path / f"svr{suffix}")
    assert np.array_equal(ask(load_teacher(tmp_path / f"svr{suffix}", trust_pickle=True)), svr.predict(X))


@pytest.mark.parametrize("suffix", [".skops", ".onnx", ".joblib"])
def test_files_cut_short_are_told_in_one_line(tmp_path, suffix):
    file = tmp_path / f"cut{suffix}"
    file.write_bytes((STUDIES / "protein_teacher.skops").read_bytes()[:500])
    with pytest.raises(TeacherError) as caught:
        load_teacher(file, trust_pickle=True)
    assert str(caught.value).startswith(f"{file}: ") and "\n" not in str(caught.value)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).eval().requires_grad_(False)


def test_onnx_answers_as_torch_does(tmp_path):
    net, x = network(), torch.from_numpy(X).float()
    axes = {"x": {0: "n"}, "y": {0: "n"}}
    names = {"input_names": ["x"], "output_names": ["y"]}
    torch.onnx.export(net, (x[:2],), tmp_path / "net.onnx", dynamo=False, dynamic_axes=axes, **names)
    teacher = load_teacher(tmp_path / "net.onnx")
    torch.testing.assert_close(teacher(x), net(x), rtol=1e-5, atol=1e-6)
    found = probe(teacher, Inputs.unknown(3))
    assert (teacher.width, found.outputs, found.differentiable) == (3, 1, False)


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
            mlflow.pytorch.log_model(network(), name="net", registered_model_name="net", **kind)
            svr = SVR().fit(X, X[:, 0])
            kind = {"serialization_format": "skops", "pip_requirements": ["scikit-learn"]}
            mlflow.sklearn.log_model(svr, name="svr", registered_model_name="svr", **kind)
        for name in ("net", "svr"):
            client.set_registered_model_alias(name, "best", "1")
        yield {"net": network()(torch.from_numpy(X).float())[:, 0].numpy(), "svr": svr.predict(X)}


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
