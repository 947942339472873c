"""Students that go out: files of three formats in the user's units, less precise ones, and models that name their columns."""

import hashlib
import json
import re
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from click.testing import CliRunner
from exported import MEAN, NAMES, STD, UNITS, answers_of, rows
from mlflow import MlflowClient
from mlflow.pyfunc import scoring_server
from safetensors.torch import save_file
from torch import nn

from dfkd_tune import register
from dfkd_tune.errors import ExportError
from dfkd_tune.export.export import allowed, difference, export
from dfkd_tune.export.quantization import WeightQuantized
from dfkd_tune.registry.stored_student import load_trial
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.prepare import prepare
from dfkd_tune.study.session import run_study

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def raw_folder(tmp_path_factory) -> Path:
    """Where the files of a teacher in raw units lie."""
    return tmp_path_factory.mktemp("raw")


@pytest.fixture(scope="module")
def study_tree(raw, raw_folder):
    """A function that gives a study of the teacher in raw units by name, as a tree."""
    return lambda name: tree_of(raw_folder, name)


def tree_of(folder: Path, name: str) -> dict:
    return {
        "study": {"name": name, "trials": 1, "reruns": 0},
        "teacher": {"path": str(folder / "teacher.safetensors"), "architecture": str(folder / "teacher.yaml")},
        "features": str(folder / "features.yaml"),
        "budget": {"steps": 200, "batch": 50, "pool": 1000, "bank": 2000},
        "preset": "faithful",
        "search": {},
    }


@pytest.fixture(scope="module")
def raw(store, raw_folder):
    """A finished study of a teacher in raw units, called ``raw-units``: its teacher."""
    folder = raw_folder
    torch.manual_seed(5)
    teacher = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1))
    with torch.no_grad():
        teacher[0].bias -= teacher[0].weight @ (MEAN / STD)
        teacher[0].weight /= STD
        teacher[2].bias.mul_(300).add_(5000)
        teacher[2].weight *= 300
    save_file(teacher.state_dict(), folder / "teacher.safetensors")
    (folder / "teacher.yaml").write_text("layers: [3, 16, 1]\n")
    known = [{"name": "valve", "levels": [0, 1]} if name == "valve" else {"name": name} for name in NAMES]
    for feature, mean, std in zip(known, MEAN.tolist(), STD.tolist(), strict=True):
        feature |= {} if "levels" in feature else {"mean": mean, "std": std}
    (folder / "features.yaml").write_text(yaml.safe_dump({"features": known}))
    run_study(prepare(parse_spec(tree_of(folder, "raw-units"), "raw-units")), store.storage, store.tracking)
    return teacher.eval()


@pytest.fixture(scope="module")
def student(raw, store) -> nn.Module:
    return load_trial(store.tracking, "raw-units", None)[0]


@pytest.mark.parametrize("kind", ["pt2", "onnx"])
def test_a_file_takes_raw_units_and_any_batch(raw, student, dfkd, store, kind):
    ended = dfkd("export", "raw-units", "--format", kind, "--out", f"student.{kind}", *store.options[2:])
    assert ended.status == 0, ended.err
    answer, names = answers_of(Path(f"student.{kind}"))
    assert names == NAMES
    for x in (rows(1), rows(7), rows(300)):
        with torch.no_grad():
            torch.testing.assert_close(answer(x), student(x), rtol=1e-5, atol=1e-3)
            assert float((answer(x) - raw(x)).square().mean().sqrt()) < 8 < float(raw(rows(300)).std()) / 8


class Moody(nn.Module):
    """Answers a single row in another way, which tracing does not see."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum(1, keepdim=True) * (2.0 if len(x) == 1 else 1.0)


def test_a_copy_that_differs_is_not_written(tmp_path):
    with pytest.raises(ExportError, match="differ from the student's by"):
        export(Moody().eval(), UNITS, "onnx", tmp_path / "moody.onnx")
    assert list(tmp_path.iterdir()) == []


# --- precision --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision, kind", [("int8", "onnx"), ("bf16", "pt2")])
def test_less_precision_has_a_certificate_of_its_own(raw, student, dfkd, store, tmp_path, precision, kind):
    argv = ["export", "raw-units", "--format", kind, "--precision", precision, "--out", f"small.{kind}"]
    ended = dfkd(*argv, "--within", "100000%", *store.options[2:])
    assert ended.status == 0, ended.err
    pattern = rf"{precision}: RMSE ([\d.]+).* on the selection bank; ([\d.]+).* in float32; ([+-]\S+) %$"
    after, before, added = map(float, re.search(pattern, ended.out, re.MULTILINE).groups())
    assert added == pytest.approx(100 * (after / before - 1), abs=0.1)
    made = {f"small.{kind}", f"small.{kind}.certificate.json", f"small.{kind}.certificate.html"}
    assert {path.name for path in tmp_path.iterdir()} == made
    certificate = json.loads((tmp_path / f"small.{kind}.certificate.json").read_text())
    assert certificate["student"]["precision"] == precision
    assert (
        certificate["student"]["file_sha256"] == hashlib.sha256((tmp_path / f"small.{kind}").read_bytes()).hexdigest()
    )
    answer, x = answers_of(tmp_path / f"small.{kind}")[0], rows(20_000)
    x[:, 1] = (x[:, 1] > 0.5).float()
    with torch.no_grad():
        real = float((answer(x) - raw(x)).square().mean().sqrt())
        assert not torch.equal(answer(x), student(x))
    # Of other rows, a few of which make much of it.
    assert certificate["report"]["rmse"] == pytest.approx(real, rel=0.2)


@pytest.mark.parametrize("most, larger", [(30, True), (1200, False)])
def test_less_precision_that_takes_more_room_is_told(study_tree, dfkd, store, tmp_path, most, larger):
    name = f"at-most-{most}"
    tree = study_tree(name) | {"student": {"max_parameters": most}}
    run_study(prepare(parse_spec(tree, name)), store.storage, store.tracking)
    argv = ["export", name, "--format", "onnx", *store.options[2:]]
    ended = dfkd(*argv, "--precision", "int8", "--within", "100000%", "--out", "small.onnx")
    assert ended.status == 0, ended.err
    assert dfkd(*argv, "--out", "whole.onnx").status == 0
    size, whole = ((tmp_path / file).stat().st_size for file in ("small.onnx", "whole.onnx"))
    assert (size >= whole) == larger
    told = [line for line in ended.err.splitlines() if "warning" in line]
    assert len(told) == larger
    assert all(f"small.onnx: int8 takes {size:,} bytes, float32 takes {whole:,}" in line for line in told)


def test_what_loses_too_much_is_refused_in_one_line(raw, dfkd, store, tmp_path):
    argv = [
        "export",
        "raw-units",
        "--precision",
        "bf16",
        "--out",
        "small.pt2",
        "--within",
        "0.001%",
        *store.options[2:],
    ]
    ended = dfkd(*argv)
    assert ended.status == 1
    assert len(ended.err.splitlines()) == 1
    assert "RMSE to the teacher grows from" in ended.err and "by more than 0.001 %" in ended.err
    assert dfkd(*argv, "--out", "small.safetensors").status == 2
    for wrong in ("-1%", "some", "nan"):
        assert dfkd(*argv, "--within", wrong).status == 2
    with pytest.raises(ExportError, match="takes students of the kinds mlp, rbf"):
        WeightQuantized(Moody(), UNITS, "int8")
    assert list(tmp_path.iterdir()) == []


# --- registered models ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def named(raw, store, tmp_path_factory) -> Path:
    """The registered model of named columns, as it is stored."""
    register(store.tracking, "raw-units", "named")
    client = MlflowClient(store.tracking)
    version = client.get_model_version_by_alias("named", "champion")
    stored = client.get_logged_model(version.source.removeprefix("models:/")).artifact_location
    return Path(stored.removeprefix("file://"))


def test_columns_have_the_names_of_the_features(named, student):
    model = mlflow.pyfunc.load_model(named)
    assert model.metadata.metadata["features"] == NAMES
    x = rows()
    frame = pd.DataFrame(x.numpy(), columns=NAMES)
    with torch.no_grad():
        expected = student(x).numpy()
    for given in (frame, frame[NAMES[::-1]], frame.astype(float), frame.assign(other="a")):
        np.testing.assert_allclose(np.asarray(model.predict(given)), expected, rtol=1e-5)
    with pytest.raises(mlflow.exceptions.MlflowException, match="valve"):
        model.predict(frame.drop(columns="valve"))


def test_a_model_needs_torch_alone_and_shows_inputs_that_nobody_had(named):
    wanted = {line.partition("==")[0] for line in (named / "requirements.txt").read_text().split()}
    assert wanted == {"mlflow", "torch"}
    shown = json.loads((named / "input_example.json").read_text())
    assert shown["columns"] == NAMES
    assert len(shown["data"]) == 2
    for load, valve, count in shown["data"]:
        assert abs(load - 1000) < 1000 and valve in (0, 1) and abs(count - 0.02) < 0.05


def test_requests_name_columns(named, student):
    """By the handler of ``mlflow models serve``; tests/test_docs.py has the whole server."""
    model, x = mlflow.pyfunc.load_model(named), rows(3).double().round(decimals=3)
    columns = model.metadata.get_input_schema()

    def ask(body: object):
        return scoring_server.invocations(json.dumps(body), "application/json", model, columns)

    with torch.no_grad():
        expected = student(x.float()).flatten().tolist()
    records = [dict(zip(NAMES, row, strict=True)) for row in x.tolist()]
    for body in (
        {"dataframe_split": {"columns": NAMES, "data": x.tolist()}},
        {"dataframe_split": {"columns": NAMES[::-1], "data": x.flip(1).tolist()}},
        {"dataframe_records": records},
        {"instances": records},
        {"inputs": dict(zip(NAMES, x.T.tolist(), strict=True))},
    ):
        answers = json.loads(ask(body).response)["predictions"]
        np.testing.assert_allclose([answer["0"] for answer in answers], expected, rtol=1e-5)
    assert ask({"dataframe_split": {"columns": NAMES, "data": [[1, 0, 2]]}}).status == 200  # whole numbers too
    with pytest.raises(mlflow.exceptions.MlflowException, match="valve"):
        ask({"instances": [{"load": 1.0, "count": 2.0}]})
    with pytest.raises(mlflow.exceptions.MlflowException, match="load"):
        ask({"instances": x.tolist()})  # which column is which was not said


def test_a_container_can_be_made(named, tmp_path):
    from mlflow.models.cli import commands

    made = CliRunner().invoke(commands, ["generate-dockerfile", "-m", str(named), "-d", str(tmp_path / "box")])
    assert made.exit_code == 0, made.output
    assert "model_dir" in (tmp_path / "box" / "Dockerfile").read_text()
    (inside,) = (tmp_path / "box" / "model_dir").iterdir()
    assert {"MLmodel", "requirements.txt", "data"} <= {path.name for path in inside.iterdir()}
    assert not list(inside.rglob("*.pickle")) and not list(inside.rglob("*.pkl"))


def test_every_output_of_a_file_is_judged_at_its_own_scale():
    torch.manual_seed(0)
    network, scale = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)), torch.tensor([1e-7, 1e5])
    student = nn.Sequential(_Scaled(1 / STD, -MEAN / STD), network, _Scaled(scale, 0 * scale)).eval()
    with torch.no_grad():
        y = student(UNITS.rows)
    most, none = allowed(student, UNITS), torch.zeros_like(y)
    assert bool(((most / y.std(0) > 1e-5) & (most / y.std(0) < 1e-4)).all())
    assert difference(y * (1 + 1e-6), y, none, most)[1]
    # The gap of the small output is far below a step of the large one.
    assert not difference(y * torch.tensor([1.01, 1.0]), y, none, most)[1]
    assert not difference(y * torch.nan, y, none, most)[1]


class _Scaled(nn.Module):
    def __init__(self, scale: torch.Tensor, shift: torch.Tensor) -> None:
        super().__init__()
        self.scale, self.shift = scale, shift

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        return y * self.scale + self.shift
