"""Whole studies through the command line, timed from start to end with the memory of all their processes.

python benchmarks/quick.py --publish        the first study of a new user, and what it prints at its end
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import figures
import numpy as np
import psutil

from dfkd_tune.search.attributes import StudyRecord
from dfkd_tune.search.loaded import load_study

LOOK = 0.2
WIDTH = 110
"""Columns of the terminal."""


def timed(command: list[str], folder: Path) -> dict:
    """Seconds, peak bytes of memory and output of a command that must succeed; pages that processes share count once."""
    start = time.perf_counter()
    inherited = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}  # MLflow sets it
    environment = inherited | {"COLUMNS": str(WIDTH)}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    peak, over = [0], threading.Event()

    def look() -> None:
        while not over.wait(LOOK):
            peak[0] = max(peak[0], _held(process.pid))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    said = process.communicate()[0]
    over.set()
    if process.returncode:
        raise SystemExit(said)
    return {"seconds": time.perf_counter() - start, "peak_bytes": peak[0], "output": said}


def _held(pid: int) -> int:
    total = 0
    try:
        top = psutil.Process(pid)
        for process in (top, *top.children(recursive=True)):
            held = process.memory_full_info()
            total += getattr(held, "pss", held.uss)
    except psutil.NoSuchProcess:
        pass
    return total


def quickstart(trials: int, workers: int) -> dict:
    """The shipped study, as a user types it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "dfkd_tune", "study", "--n-trials", str(trials), "--workers", str(workers)]
        found = timed(command, Path(folder))
    print(
        f"quickstart, {trials} trials: {found['seconds']:.0f} s, at most {found['peak_bytes'] / 1e9:.2f} GB", flush=True
    )
    return found


def own_study(shared: Path, dataset: str, trials: int, steps: int, seed: int, folder: Path, workers: int) -> dict:
    """The default study on a shared teacher; seconds, memory, and the promoted student's RMSE on the selection bank, normalized."""
    features = np.load(shared / "data" / f"{dataset}.npz")["X"].shape[1]
    (folder / "teacher.yaml").write_text(f"layers: [{features}, 500, 1]\nactivation: tanh\n")
    spec = {
        "study": {"name": "ours", "trials": trials, "seed": seed},
        "teacher": {
            "path": str((shared / "teachers" / f"{dataset}.safetensors").resolve()),
            "architecture": "teacher.yaml",
        },
        "student": {"max_parameters": 50 * (features + 2) + 1},
        "budget": {"steps": steps},
    }
    (folder / "study.yaml").write_text(json.dumps(spec))  # JSON is YAML
    command = [sys.executable, "-m", "dfkd_tune", "study", "study.yaml", "--workers", str(workers)]
    found = timed(command, folder)
    study = load_study(f"sqlite:///{folder}/mlruns/optuna.db", "ours")
    promoted = StudyRecord.of(study).promoted
    first = next(t.user_attrs for t in study.trials if t.state.name == "COMPLETE")
    assert promoted is not None  # the command ended well
    best = promoted["rmse"] * first["nrmse"] / first["rmse"]  # one output, so that both differ by a constant
    return found | {"best": best, "trials": trials, "steps": steps}


def end_of(output: str) -> str:
    """The end of a study's output: the best trials and the promoted student, without the commands that follow."""
    end = output[output.rindex("trial  ") :].split("\n\nWrite the report")[0]
    return "\n".join(line.rstrip() for line in end.strip().splitlines())


def measured(end: str, trials: int) -> figures.Measured:
    """What is published of the first study."""
    return figures.Measured([], f"{trials} trials, finished students of 6,000 steps", values={"output": end})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=20)
    figures.add_option(parser)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = timed([sys.executable, "-m", "dfkd_tune", "study", "--n-trials", str(args.trials)], Path(folder))
    end = end_of(found["output"])
    print(end)
    if args.publish:
        figures.publish({"first_study": measured(end, args.trials)})


if __name__ == "__main__":
    main()
