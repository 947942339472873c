"""A study beside processes that use all cores: one process, one thread, and every step of every trial."""

import json
import os
from pathlib import Path

import psutil
import pytest
import torch
from mlflow import MlflowClient
from optuna.trial import TrialState

from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study import calibration
from dfkd_tune.study.launch import launch
from dfkd_tune.study.prepare import prepare

STEPS = 40


def study_on(cores, storage: str, tracking: str, tree: dict, report: str) -> None:
    """Run a study on these cores alone, as if it were long and processes cost nothing; write down what it used."""
    os.sched_setaffinity(0, cores)
    torch.set_num_threads(len(cores))
    calibration.SHORT = calibration.STARTUP = 0.0
    calibration.GAIN = 1.0
    computing, processes = set(), set()

    def watch(progress) -> None:
        computing.add(torch.get_num_threads())
        processes.add(len(psutil.Process().children(recursive=True)))

    launch(prepare(parse_spec(tree, "busy")), storage, tracking, on_progress=watch)
    Path(report).write_text(json.dumps([sorted(computing), sorted(processes), torch.get_num_threads()]))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to cores")
@pytest.mark.usefixtures("undrawn")
def test_a_study_beside_busy_processes(store, tree, start, busy_cores, tmp_path):
    report = tmp_path / "report.json"
    about = tree("busy", trials=3, population=None, budget={"steps": STEPS})
    process = start(study_on, sorted(busy_cores), store.storage, store.tracking, about, str(report))
    assert process.wait() == 0, process.said
    computing, processes, afterwards = json.loads(report.read_text())
    assert (computing, processes) == ([1], [0])
    assert afterwards == len(busy_cores)  # the caller's threads are as they were
    ended = [trial for trial in store.trials("busy") if trial.state == TrialState.COMPLETE]
    assert len(ended) == 3
    client = MlflowClient(store.tracking)
    for run in [run for kind in ("trial", "baseline") for run in store.runs("busy", kind)]:
        curve = [point.step for point in client.get_metric_history(run.info.run_id, "curve/rmse")]
        assert max(curve) == STEPS
