"""``study``: it ends with its table and the next commands, keeps all in one folder, and goes on after a failure."""

import re
from pathlib import Path

import pytest
import yaml
from asked import GOOD, assert_refused, files_of
from optuna.trial import TrialState
from processes import command_line

from dfkd_tune.study.session import run_study

pytestmark = pytest.mark.usefixtures("undrawn")


def test_fewer_trials_than_there_are_leave_the_total(dfkd, own, tiny):
    told = run_study(tiny("pump", trials=1), own.storage, own.tracking).progress
    assert (told.ended, told.total) == (2, 2)


def test_a_study_ends_with_its_table_and_the_next_commands(dfkd, tmp_path, store, tree):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("ignored", trials=9)))
    argv = ["study", "study.yaml", "--name", "named", "--n-trials", "2", "--seed", "7", *store.options]
    ended = dfkd(*argv)
    assert ended.status == 0, ended.err
    assert re.search(r"trial +robust +rmse +stress +parameters +recipe", ended.out)
    assert "Promoted: trial" in ended.out
    assert "RMSE of the untuned baseline at the same budget" in ended.out
    assert f"dfkd-tune ui --tracking-uri {store.tracking}" in ended.out
    assert f"dfkd-tune register named --model named --tracking-uri {store.tracking}" in ended.out
    assert len(store.trials("named")) == 2
    assert files_of(tmp_path) == {"study.yaml"}

    again = dfkd(*argv)
    assert again.status == 0
    assert re.search(r"Promoted: .*", again.out)[0] == re.search(r"Promoted: .*", ended.out)[0]
    assert_refused(dfkd(*argv, "--seed", "8"), "study 'named'", "seed: 7 -> 8", "--name")


def test_a_study_without_urls_lives_in_mlruns(dfkd, tmp_path, store, small_teacher, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store.hand_out(tmp_path)
    (tmp_path / "teacher").symlink_to(Path(small_teacher["path"]).parent)
    (tmp_path / "sub").mkdir()
    # Paths in a study file are relative to it.
    teacher = {"path": "../teacher/teacher.safetensors", "architecture": "../teacher/teacher.yaml"}
    (tmp_path / "sub" / "lone.yaml").write_text(yaml.safe_dump(GOOD | {"teacher": teacher, "search": {}}))
    ended = dfkd("study", "sub/lone.yaml")
    assert ended.status == 0, ended.err
    assert {path.name for path in tmp_path.iterdir()} == {"sub", "teacher", "mlruns"}
    kept = {path.name for path in (tmp_path / "mlruns").iterdir() if not path.name.endswith((".lock", "-wal", "-shm"))}
    assert kept == {"mlflow.db", "optuna.db", "artifacts", "optuna-artifacts", "spool", "answers"}
    assert "dfkd-tune register lone --model lone" in ended.out

    shown = dfkd("show", "lone")
    assert shown.status == 0
    assert "1 complete" in shown.out
    registered = dfkd("register", "lone", "--model", "lone-model")
    assert registered.status == 0, registered.err
    assert registered.out.startswith("registered models:/lone-model@champion, version 1: trial 0")
    assert "on the selection bank; the reloaded model" in registered.out.splitlines()[0]
    assert "mlflow models serve -m 'models:/lone-model@champion'" in registered.out
    again = dfkd("register", "lone", "--model", "lone-model", "--alias", "candidate")
    assert again.out.startswith("registered models:/lone-model@candidate, version 1: trial 0"), again.err
    assert {path.name for path in tmp_path.iterdir()} == {"sub", "teacher", "mlruns"}


FLAKY = """
import torch

calls = []


def teacher():
    def answer(x):
        calls.append(len(x))
        if len(calls) > 100:  # while trials are under way
            raise LookupError("the license server is gone")
        return torch.sin(x).sum(1)

    return answer
"""


def test_a_teacher_that_fails_is_told_and_the_study_can_be_resumed(tmp_path, store, start):
    (tmp_path / "flaky.py").write_text(FLAKY)
    (tmp_path / "features.yaml").write_text("features: [a, b, c]\n")
    spec = GOOD | {
        "study": {"name": "flaky", "trials": 3, "reruns": 0},
        "teacher": "flaky:teacher",
        "features": "features.yaml",
    }
    (tmp_path / "flaky.yaml").write_text(yaml.safe_dump(spec | {"preset": "paper", "search": {"optimizer.lr": [0.01]}}))
    process = start(command_line, tmp_path, "study", "flaky.yaml", *store.options)
    assert process.wait() == 1
    assert re.search(r"^dfkd-tune: flaky:teacher: .*LookupError: the license server is gone", process.said, re.M)
    assert "Traceback" not in process.said
    trials = store.trials("flaky")
    assert len(trials) == 3
    assert not [trial for trial in trials if trial.state == TrialState.RUNNING]
    assert not [run for run in store.runs("flaky") if run.info.status == "RUNNING"]
