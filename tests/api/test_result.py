"""A result of a study whose teacher moved, and of one whose teacher only this process has."""

import shutil

import numpy as np
import pytest
import torch
from teacher_files import save_pt2
from torch import nn

import dfkd_tune as dt

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
        made = result.register("kept", trial=trial)
        assert made.trial == trial and made.report_rmse > 0
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
