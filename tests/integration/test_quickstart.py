"""The shipped quickstart: its study, its teacher, and the wheel that holds them."""

import importlib.util
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from asked import files_of
from tiny_studies import ROOT, STUDIES

from dfkd_tune.inputs.features_file import read_features
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.teachers.signatures.width import infer_width

COMPACTIV = ROOT.parent / "shared" / "data" / "compactiv.npz"


def test_the_quickstart_fits_together():
    study = yaml.safe_load((STUDIES / "quickstart.yaml").read_text())
    teacher = load_teacher(STUDIES / study["teacher"])
    features = read_features(STUDIES / study["features"])
    found = probe(teacher, features)
    assert (found.features, found.outputs, found.differentiable) == (21, 1, True)
    assert infer_width(teacher) == 21
    assert features.tier == "T0"
    parameters = sum(p.numel() for p in teacher.function.parameters())
    assert study["student"]["max_parameters"] * 10 >= parameters > study["student"]["max_parameters"]


def test_the_quickstart_teacher_holds_no_trace_of_where_it_was_made():
    data = (STUDIES / "quickstart_teacher.pt2").read_bytes()
    assert len(data) < 100_000
    for trace in (b"stack_trace", b"site-packages", b".py", b"/home", b"/root", b"/usr", str(STUDIES.parent).encode()):
        assert trace not in data


def test_the_training_script_archives_what_it_trained():
    spec = importlib.util.spec_from_file_location("train_teacher", STUDIES / "train_teacher.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    x = torch.randn(40, script.FEATURES)
    y = torch.tanh(x[:, 0])
    rows = torch.arange(40)
    script.EPOCHS = 3
    net = script.train({"x": x, "y": y, "train": rows[:30], "valid": rows[30:], "test": rows[30:]}, seed=1)
    program = torch.export.load(io.BytesIO(script.archive(net)))
    with torch.no_grad():
        torch.testing.assert_close(program.module()(x), net(x))
        assert script.rmse(net, x, y) == pytest.approx(
            float(np.sqrt(np.mean((net(x)[:, 0] - y).numpy() ** 2))), rel=1e-5
        )


@pytest.mark.skipif(not COMPACTIV.exists(), reason="the compactiv table is not shipped")
def test_the_quickstart_teacher_is_as_good_as_its_card_says():
    with np.load(COMPACTIV) as table:
        x, y = (torch.from_numpy(table[key][table["test"]]) for key in ("X", "y"))
    with torch.no_grad():
        rmse = float((load_teacher(STUDIES / "quickstart_teacher.pt2")(x)[:, 0] - y).square().mean().sqrt())
    assert f"| test RMSE | {rmse:.3f}," in (STUDIES / "quickstart_teacher.md").read_text()


def test_the_quickstart_is_sound(dfkd, tmp_path):
    from dfkd_tune.cli.quickstart import quickstart

    ended = dfkd("check", quickstart())
    assert ended.status == 0, ended.err
    assert "quickstart: 20 trials" in ended.out
    assert "21 features, 1 output, differentiable" in ended.out
    assert "at most 1,151 parameters" in ended.out
    assert files_of(tmp_path) == set()


def test_the_wheel_holds_the_quickstart(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "--quiet", "--wheel-dir", str(tmp_path)]
    if importlib.util.find_spec("hatchling"):
        command.append("--no-build-isolation")
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    for name in ("quickstart.yaml", "quickstart_teacher.pt2", "quickstart_features.yaml"):
        assert f"dfkd_tune/studies/{name}" in names
    tops = sorted({name.partition("/")[0] for name in names})
    assert tops[0] == "dfkd_tune" and tops[1].endswith(".dist-info") and len(tops) == 2
    (tmp_path / "elsewhere").mkdir()
    ask = "from dfkd_tune.cli.quickstart import quickstart as q; from dfkd_tune.search.study_file import read_spec; s = read_spec(q());"
    ask += "print(q(), s.teacher.path, s.features, sep='\\n')"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    asked = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, env=environment, cwd=tmp_path / "elsewhere"
    )
    assert asked.returncode == 0, asked.stderr
    found = [Path(line) for line in asked.stdout.splitlines()]
    assert len(found) == 3
    for path in found:
        assert path.parent == tmp_path / "installed" / "dfkd_tune" / "studies"
        assert path.exists()
