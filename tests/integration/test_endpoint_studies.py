"""Studies whose teacher is behind HTTP: a server that dies in mid-study is waited for, and nothing secret is kept."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from asked import assert_refused
from processes import free_port, inferring, serving
from sklearn.compose import make_column_transformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from dfkd_tune.search.attributes import StudyRecord
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.prepare import prepare
from dfkd_tune.study.session import run_study

SERVER = Path(__file__).parents[1] / "support" / "inference_server.py"
COLUMNS = "features: [{name: kind, levels: [low, high]}, {name: b, range: [0, 9], integer: true}, a]"
ARGUMENTS = "arguments: {count: {range: [0, 9]}, site: {levels: [north, south]}}"
FRAME = pd.DataFrame({"a": np.linspace(-2, 2, 60), "b": np.arange(60) % 10, "kind": ["low", "high", "low"] * 20})
SHARED = 4_000
"""More rows than all trials of these studies share."""
RUNTIME = """
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse, MetadataTensor

class Model(MLModel):
    async def load(self):
        self.inputs = [MetadataTensor(name="x", datatype="FP64", shape=[-1, 3])]
        return True

    async def predict(self, payload):
        x = NumpyCodec.decode_input(payload.inputs[0])
        y = 2 * x[:, 1:2] ** 2 - x[:, 2:] + x[:, :1]
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("y", y)])
"""


def mlserver(folder: Path, port: int) -> list[str] | None:
    """The command of an MLServer with one model, where one is installed; its versions differ from those of MLflow here."""
    program = os.environ.get("DFKD_TEST_MLSERVER") or shutil.which("mlserver")
    if program is None:
        return None
    (folder / "runtime.py").write_text(RUNTIME)
    settings = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port(), "parallel_workers": 0}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps({"name": "m", "implementation": "runtime.Model"}))
    return [program, "start", str(folder)]


def scoring(folder: Path, port: int) -> list[str]:
    """The command of an MLflow scoring server, with a pipeline over named columns and words."""
    if not (folder / "model").exists():
        encode = make_column_transformer((OneHotEncoder(), ["kind"]), remainder="passthrough")
        y = 2 * FRAME["a"] - FRAME["b"] + FRAME["kind"].eq("low")
        model, kept = make_pipeline(encode, Ridge()).fit(FRAME, y), {"serialization_format": "cloudpickle"}
        mlflow.sklearn.save_model(model, folder / "model", input_example=FRAME[:2], pip_requirements=[], **kept)
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(folder / "model"), "--port", str(port)]
    return [*command, "--env-manager", "local", "--workers", "1"]


SERVERS = {
    "small": (
        lambda folder, port: [sys.executable, "-S", str(SERVER), str(port), "columns", "hunter2"],
        ("/ping", "/v2/models/m"),
    ),
    "arguments": (
        lambda folder, port: [sys.executable, "-S", str(SERVER), str(port), "several", "hunter2"],
        ("/ping", "/v2/models/m"),
    ),
    "mlflow": (scoring, ("/ping", "/invocations")),
    "mlserver": (mlserver, ("/v2/models/m/ready", "/v2/models/m/infer")),
}


def study(folder: Path, name: str, teacher: str, **about) -> dict:
    """A study each of whose steps queries its teacher."""
    told = {"mlserver": "features: [a, b, c]", "arguments": ARGUMENTS}
    (folder / "features.yaml").write_text(told.get(name, COLUMNS))
    return {
        "study": {"name": name, "trials": 4, "population": 2, "leaders": 1, "reruns": 0},
        "teacher": {"path": teacher},
        "features": str(folder / "features.yaml"),
        "budget": {"steps": 20, "batch": 10, "pool": 500, "bank": 200},
        "generator": {"kind": "zeroth_order", "steps": 1},
        "search": {"optimizer.lr": {"low": 1e-3, "high": 1e-2, "log": True}},
    } | about


def test_a_server_is_asked_kept_rows_again_within_a_total(store, tmp_path, undrawn):
    tree = study(tmp_path, "server-total", "", search={}, generator={"kind": "committee"})
    tree |= {"features": None, "budget": {"steps": 20, "batch": 10, "total_queries": 400}}
    with inferring(tmp_path) as address:
        tree["teacher"]["path"] = f"{address}/v2/models/m"
        prepared = prepare(parse_spec(tree, "total"), storage_url=store.storage)
        run_study(prepared, store.storage, store.tracking)
    queries = StudyRecord.of(load_study(store.storage, "server-total")).queries
    assert queries["again"] >= 2 and queries["round-1"] > 0
    assert prepared.teacher.estimator.answered == sum(queries.values()) <= 400


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_that_dies_in_mid_study_is_waited_for(kind, store, tmp_path, monkeypatch, caplog, undrawn):
    monkeypatch.setenv("DFKD_TEACHER_TOKEN", "hunter2")
    make, (alive, path) = SERVERS[kind]
    port = free_port()
    command, address = make(tmp_path, port), f"http://127.0.0.1:{port}"
    if command is None:
        pytest.skip("mlserver is not installed")
    ended: list[object] = []
    over = threading.Event()

    def restart(first) -> None:
        """Kill the server once trials query it, and start another one at its address a while later."""
        while not over.is_set() and prepared.teacher.estimator.answered < SHARED:
            time.sleep(0.005)
        os.killpg(first.pid, 9)
        first.wait()
        time.sleep(0.3)
        with serving(command, address + alive, tmp_path):
            ended.append(over.wait(120))

    context = serving(command, address + alive, tmp_path)
    first = context.__enter__()
    prepared = prepare(parse_spec(study(tmp_path, kind, address + path), kind))
    run = threading.Thread(target=restart, args=(first,))
    run.start()
    try:
        run_study(prepared, store.storage, store.tracking)
    finally:
        over.set()
        run.join()
    assert ended == [True] and [t.state.name for t in store.trials(kind)] == ["COMPLETE"] * 4
    assert prepared.teacher.estimator.answered > 1.2 * SHARED
    assert f"{address}{path} does not answer" in caplog.text and "answers again" in caplog.text
    # Another process looks: one that opens a database's file by itself drops the locks that SQLite holds there for it.
    looked = subprocess.run(["grep", "--recursive", "--binary", "hunter2", store.home / "mlruns"], capture_output=True)
    assert (looked.returncode, looked.stderr) == (1, b""), looked


def test_a_resume_with_another_model_at_the_address_is_refused(dfkd, store, tmp_path):
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    (tmp_path / "features.yaml").write_text("features: [a, {name: b, range: [-2, 2]}]")
    about = study(tmp_path, "moved-server", f"{address}/invocations") | {
        "features": "features.yaml",
        "generator": {"kind": "gaussian"},
    }
    (tmp_path / "features.yaml").write_text("features: [a, {name: b, range: [-2, 2]}]")
    about["study"]["trials"] = 2
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(about))

    def ask(kind: str, *argv: str):
        with serving([sys.executable, "-S", str(SERVER), str(port), kind], f"{address}/ping", tmp_path):
            return dfkd(*argv)

    checked = ask("array", "check", "study.yaml", "--no-estimate")
    assert checked.status == 0, checked.err
    assert ask("array", "study", "study.yaml", *store.options).status == 0
    refused = ask("other", "study", "study.yaml", "--n-trials", "3", *store.options)
    assert_refused(refused, "moved-server", "teacher")
    assert ask("array", "study", "study.yaml", "--n-trials", "3", *store.options).status == 0
    assert len(store.trials("moved-server")) == 3
