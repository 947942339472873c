"""Every script of examples/ is executed, made small, as a user runs it."""

import runpy
import subprocess
import sys

import mlflow
import pytest
from pages import ROOT, small

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def example(reader, monkeypatch):
    """Runs a script of examples/ made small, as a user does; returns its names."""

    def run(name: str, *argv: str) -> dict:
        text = small((ROOT / "examples" / name).read_text())
        budget = "budget: {steps: 30, pool: 500, bank: 200}"
        text = text.replace("trials: 20, seed: 0}", "trials: 2, reruns: 0}").replace("budget: {steps: 30}", budget)
        script = reader / name
        script.write_text(text)
        monkeypatch.setattr(sys, "argv", [name, *argv])
        return runpy.run_path(str(script))

    if not (reader / "studies").exists():
        (reader / "studies").symlink_to(ROOT / "studies")
    return run


def test_example_own_teacher(example, tmp_path_factory, store, monkeypatch):
    folder = tmp_path_factory.mktemp("own")
    store.hand_out(folder)
    monkeypatch.chdir(folder)
    names = example("own_teacher.py")
    assert names["made"].uri == "models:/own-teacher@champion"
    assert names["made"].trial in (None, 0, 1)
    assert names["made"].worst_gap > 0


def test_example_own_study(example):
    study = example("own_study.py")["study"]
    assert len(study.trials) == 2
    version = mlflow.MlflowClient().get_model_version_by_alias("own-study", "champion")
    assert version.tags["dfkd.trial"] == str(study.best_trial.number)


def test_example_read_results(example, reader, store, finished, monkeypatch, tmp_path):
    store.lend_runs(tmp_path)
    monkeypatch.chdir(tmp_path)
    names = example("read_results.py", "finished")
    assert list(names["trials"]["metrics.rmse"]) == sorted(names["trials"]["metrics.rmse"])
    assert (tmp_path / "best" / "student" / "student.safetensors").exists()


def test_example_load_student(finished, store, dfkd, tmp_path):
    assert dfkd("export", "finished", "--out", "student.pt2", *store.options[2:]).status == 0
    script = ROOT / "examples" / "load_student.py"
    ended = subprocess.run([sys.executable, "-I", script, "student.pt2"], capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("['x0', 'x1', 'x2']")


def test_every_example_has_a_test():
    tested = {name.removeprefix("test_example_") for name in globals() if name.startswith("test_example_")}
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == tested
