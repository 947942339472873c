"""A result of a study whose teacher moved, and of one whose teacher only this process has."""

import shutil
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from teacher_files import save_pt2
from torch import nn

import dfkd_tune as dt
from dfkd_tune.tracking.connection import pointed_at

SMALL = {"budget": {"steps": 40, "batch": 20, "pool": 500, "bank": 200}, "progress": False, "workers": 1, "seed": 0}


@pytest.fixture
def here(tmp_path, store, finished, monkeypatch):
    store.hand_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.mark.usefixtures("undrawn")
def test_any_trial_of_a_teacher_in_memory_is_certified_where_it_is(here):
    about = {"reruns": 0, "population": 1}
    result = dt.tune(
        lambda x: np.sin(x[:, 0]) + x[:, 1], features=["a", "b"], name="kept", n_trials=2, study=about, **SMALL
    )
    for trial in (0, 1):
        made = result.register("kept", trial=trial, typed_columns=bool(trial))
        assert made.trial == trial and made.report_rmse > 0
    with pointed_at(result.tracking_uri):
        declared = [mlflow.models.get_model_info(f"models:/kept/{number}").signature.inputs for number in (1, 2)]
    assert declared[0] is None and declared[1].input_names() == ["a", "b"]
    with pytest.raises(dt.DfkdError, match=r"no file holds it .* give it again in Python: dfkd_tune.tune"):
        dt.load_result("kept").plot_parity()


@pytest.mark.usefixtures("undrawn")
def test_a_teacher_that_moved_is_found_where_it_is_now(here):
    save_pt2(nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)), here / "old.pt2", dtype=torch.float32)
    search = {"student.depth": [1, 2], "student.width": {"low": 2, "high": 9}}
    result = dt.tune(
        "old.pt2", name="moved", n_trials=2, max_parameters=60, search=search, study={"reruns": 0}, **SMALL
    )
    assert {"student.depth", "student.width", "rmse", "parameters"} <= {*result.trials}
    assert not {"recipe", "record", "worker"} & {*result.trials} and not any("@" in name for name in result.trials)
    shutil.move("old.pt2", "new.pt2")
    with pytest.raises(dt.DfkdError, match=r"there is no .*old.pt2; give teacher=PATH"):
        dt.load_result("moved").plot_parity()
    assert dt.load_result("moved", teacher="new.pt2").plot_parity() is not None


@pytest.fixture(scope="module")
def pump(store, tmp_path_factory, undrawn):
    """A finished study of two trials."""
    folder = tmp_path_factory.mktemp("pump")
    save_pt2(nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)), folder / "teacher.pt2", dtype=torch.float32)
    search = {"student.width": {"low": 2, "high": 9}}
    about = {"study": {"reruns": 0}, "storage": store.storage, "tracking_uri": store.tracking}
    return dt.tune(str(folder / "teacher.pt2"), name="pump-file", n_trials=2, search=search, **about, **SMALL)


@pytest.mark.parametrize("name", ["student.pt2", "student.onnx", "student.safetensors"])
def test_an_export_from_python_is_that_of_the_command(pump, name, tmp_path, dfkd, store):
    (tmp_path / "mine").mkdir()
    rmse = pump.export(tmp_path / "mine" / name)
    ended = dfkd("export", pump.name, "--out", name, *store.options[2:])
    assert ended.status == 0, ended.err
    assert f"RMSE {rmse:.4g} of the file as it was reloaded" in ended.out
    files = {path.name for path in (tmp_path / "mine").iterdir()}
    assert files == {path.name for path in tmp_path.iterdir() if path.is_file()}  # architecture of weights included
    teacher, architecture = dt.load_teacher(pump.sources.teacher or pump.evaluator.teacher.source), None
    if name.endswith("safetensors"):
        architecture = tmp_path / "mine" / "student.yaml"
    x = torch.randn(20_000, 3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        gap = dt.load_teacher(tmp_path / "mine" / name, architecture)(x) - teacher(x)
    assert float(gap.square().mean().sqrt()) == pytest.approx(rmse, rel=0.03)


def test_an_export_whose_figure_is_not_the_recorded_one_is_refused(pump, tmp_path):
    """As it is when somebody changes the teacher, or the file of a student."""
    module, result, run = pump._stored
    again = dt.Result(pump.name, pump.storage, pump.tracking_uri, pump.evaluator)
    again.__dict__["_stored"] = module, result | {"rmse": 2 * result["rmse"]}, run
    with pytest.raises(dt.DfkdError, match="its training recorded"):
        again.export(tmp_path / "student.onnx")
    assert not (tmp_path / "student.onnx").exists()


@pytest.mark.parametrize(
    ("file", "kind", "words"),
    [
        (
            "student.docx",
            None,
            "student.docx: its suffix names no export format, got '.docx'; name it so, or give kind",
        ),
        ("student", None, "got ''; name it so, or give kind, one of pt2, onnx, safetensors"),
        ("student.pt2", "docx", "kind: 'docx' is no export format; known: pt2, onnx, safetensors"),
        ("student.onnx", "pt2", "student.onnx: would hold pt2 under the suffix of onnx; name it student.pt2"),
        ("no/student.pt2", None, "there is no folder"),
        ("teacher.pt2", None, "is the teacher of the study; choose another name"),
    ],
)
def test_a_file_that_cannot_be_is_told_before_it_is_written(pump, file, kind, words, tmp_path):
    place = tmp_path if file != "teacher.pt2" else Path(pump.evaluator.teacher.source).parent
    before = {path: path.read_bytes() for path in place.iterdir() if path.is_file()}
    with pytest.raises(dt.DfkdError) as refusal:
        pump.export(place / file, kind)
    assert words in str(refusal.value) and len(str(refusal.value).splitlines()) == 1
    assert " --" not in str(refusal.value)
    assert {path: path.read_bytes() for path in place.iterdir() if path.is_file()} == before
