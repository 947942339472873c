"""The reference's list of supported teachers: each kind, saved as its library's documentation says, loads and answers."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import joblib
import mlflow
import numpy as np
import pytest
import skops.io
import torch
from catboost import CatBoostRegressor
from lightgbm import LGBMRegressor
from safetensors.torch import save_file
from sklearn.linear_model import Ridge
from tiny_studies import ROOT
from torch import nn
from xgboost import XGBRegressor

from dfkd_tune.teachers.loader import load_teacher

X = np.random.default_rng(0).normal(size=(40, 3))
LAYERS = "layers: [3, 8, 1]\n"


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).eval()


def ridge() -> Ridge:
    return Ridge().fit(X, X.sum(1))


def pt2(folder: Path) -> Path:
    rows = {0: torch.export.Dim("batch")}
    torch.export.save(torch.export.export(network(), (torch.randn(2, 3),), dynamic_shapes=(rows,)), folder / "net.pt2")
    return folder / "net.pt2"


def weights(folder: Path) -> Path:
    save_file(network().state_dict(), folder / "net.safetensors")
    return folder / "net.safetensors"


def state_dict(folder: Path) -> Path:
    torch.save(network().state_dict(), folder / "net.pth")
    return folder / "net.pth"


def onnx(folder: Path) -> Path:
    free = {"x": {0: "batch"}}
    file = folder / "net.onnx"
    torch.onnx.export(network(), (torch.randn(2, 3),), str(file), dynamo=False, input_names=["x"], dynamic_axes=free)
    return file


def skops_file(folder: Path) -> Path:
    skops.io.dump(ridge(), folder / "model.skops")
    return folder / "model.skops"


def script(folder: Path) -> Path:
    torch.jit.script(network()).save(folder / "net.pt")
    return folder / "net.pt"


def lightning(folder: Path) -> Path:
    state = {f"model.{key}": value for key, value in network().state_dict().items()}
    checkpoint = {"state_dict": state, "epoch": 3, "global_step": 30, "pytorch-lightning_version": "2.5.0"}
    torch.save(checkpoint, folder / "epoch.ckpt")
    return folder / "epoch.ckpt"


def shards(folder: Path) -> Path:
    state = network().state_dict()
    parts = {
        "net-00001-of-00002.safetensors": ["0.weight", "0.bias"],
        "net-00002-of-00002.safetensors": ["2.weight", "2.bias"],
    }
    for name, keys in parts.items():
        save_file({key: state[key] for key in keys}, folder / name)
    index = {"metadata": {}, "weight_map": {key: name for name, keys in parts.items() for key in keys}}
    (folder / "net.safetensors.index.json").write_text(json.dumps(index))
    return folder / "net.safetensors.index.json"


def model_folder(folder: Path) -> Path:
    kind = {"serialization_format": "skops", "pip_requirements": ["scikit-learn"]}
    mlflow.sklearn.save_model(ridge(), folder / "model", **kind)
    return folder / "model"


def logged(folder: Path) -> tuple[str, str]:
    """A registered model and its run, as ``models:/`` and ``runs:/``."""
    client = mlflow.MlflowClient()
    experiment = client.create_experiment("teachers", artifact_location=(folder / "artifacts").as_uri())
    kind = {"serialization_format": "pt2", "pip_requirements": ["torch"], "input_example": X[:2].astype("f4")}
    with mlflow.start_run(experiment_id=experiment) as run:
        mlflow.pytorch.log_model(network(), name="net", registered_model_name="net", **kind)
    return "models:/net/1", f"runs:/{run.info.run_id}/net"


def function(folder: Path) -> str:
    (folder / "supported_by_name.py").write_text(
        "import torch\nfrom torch import nn\n\n\ndef make():\n    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))\n"
    )
    return "supported_by_name:make"


def module(folder: Path) -> Path:
    torch.save(network(), folder / "module.pt")
    return folder / "module.pt"


def pickled(folder: Path) -> Path:
    joblib.dump(ridge(), folder / "model.joblib")
    return folder / "model.joblib"


def boosted(model, file: Path) -> Path:
    model.save_model(str(file))
    return file


def xgboost(folder: Path, suffix: str) -> Path:
    return boosted(XGBRegressor(n_estimators=3, n_jobs=1).fit(X, X.sum(1)), folder / f"model{suffix}")


def lightgbm(folder: Path) -> Path:
    return boosted(lgbm().booster_, folder / "model.txt")


def lgbm() -> LGBMRegressor:
    return LGBMRegressor(n_estimators=3, verbose=-1, n_jobs=1).fit(X, X.sum(1))


def catboost(folder: Path) -> Path:
    return boosted(cat(), folder / "model.cbm")


def cat() -> CatBoostRegressor:
    return CatBoostRegressor(iterations=3, verbose=0, allow_writing_files=False, thread_count=1).fit(X, X.sum(1))


class Server(BaseHTTPRequestHandler):
    """Serves the estimator by both protocols."""

    def do_GET(self) -> None:
        self.answer({"name": "m", "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, 3]}], "outputs": []})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/invocations":
            return self.answer({"predictions": ridge().predict(np.array(body["inputs"])).tolist()})
        (told,) = body["inputs"]
        y = ridge().predict(np.array(told["data"]).reshape(told["shape"])).tolist()
        self.answer({"outputs": [{"name": "y", "datatype": "FP64", "shape": [len(y)], "data": y}]})

    def answer(self, document: dict) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, *arguments) -> None:
        pass


def endpoint(path: str) -> str:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}{path}"


TEACHER_DEFAULTS: dict[str, Callable[[Path], Path | str]] = {
    "`.pt2`": pt2,
    "`.safetensors`": weights,
    "state dicts": state_dict,
    "`.onnx`": onnx,
    "scikit-learn (`.skops`)": skops_file,
    "XGBoost (`.json`": lambda folder: xgboost(folder, ".json"),
    "`.ubj`": lambda folder: xgboost(folder, ".ubj"),
    "LightGBM (`.txt`)": lightgbm,
    "CatBoost (`.cbm`)": catboost,
    "`http://HOST/invocations`": lambda folder: endpoint("/invocations"),
    "`http://HOST/v2/models/NAME`": lambda folder: endpoint("/v2/models/m"),
    "`models:/...`": lambda folder: logged(folder)[0],
    "`runs:/...`": lambda folder: logged(folder)[1],
    "`package.module:function`": function,
    "TorchScript": script,
    "`.ckpt`": lightning,
    "`*.safetensors.index.json`": shards,
    "`MLmodel`": model_folder,
    "pickled modules": module,
    "`.joblib`": pickled,
}
"""Words of the list's row -> what saves one."""
PICKLES = {"pickled modules", "`.joblib`"}
"""Those behind ``--trust-pickle``."""
ESTIMATORS = ("skops", "joblib", "MLmodel", "http")
"""Words of the kinds that answer as ``ridge`` does."""


def expected(kind: str) -> np.ndarray:
    """What a kind of teacher answers to ``X``."""
    if ("json`" in kind and "index" not in kind) or "ubj" in kind:
        return XGBRegressor(n_estimators=3, n_jobs=1).fit(X, X.sum(1)).predict(X)
    for word, model in (("LightGBM", lgbm), ("CatBoost", cat)):
        if word in kind:
            return np.asarray(model().predict(X))
    if any(word in kind for word in ESTIMATORS):
        return ridge().predict(X)
    with torch.no_grad():
        return network()(torch.from_numpy(X).float())[:, 0].double().numpy()


def row() -> str:
    return next(
        line
        for line in (ROOT / "docs" / "reference" / "strategies.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| teachers |")
    )


def test_every_kind_of_the_list_is_here():
    """Each file ending, address and name that the row lists has a maker, and the other way round."""
    told = {word for word in re.findall(r"`[^`]*`", row()) if not word.startswith("`--")}
    assert told == {word for kind in TEACHER_DEFAULTS for word in re.findall(r"`[^`]*`", kind)}
    assert all(kind in row() for kind in TEACHER_DEFAULTS)
    trusted = row().partition("with `--trust-pickle`")[2]
    assert {kind for kind in TEACHER_DEFAULTS if kind in trusted} == PICKLES


@pytest.mark.parametrize("kind", TEACHER_DEFAULTS)
def test_a_supported_teacher_loads_and_answers(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    source = TEACHER_DEFAULTS[kind](tmp_path)
    architecture = tmp_path / "architecture.yaml"
    architecture.write_text(LAYERS)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    teacher = load_teacher(source, architecture, trust_pickle=kind in PICKLES)
    x = torch.from_numpy(X).to(teacher.dtype)
    with torch.no_grad():
        answers = teacher(x)[:, 0].double().numpy()
    np.testing.assert_allclose(answers, expected(kind), rtol=1e-4, atol=1e-5)
