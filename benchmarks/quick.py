"""Whole studies through the command line, timed from start to end with the memory of all their processes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from dfkd_tune.search.loaded import load_study

LOOK = 0.2


def timed(command: list[str], folder: Path) -> dict:
    """Seconds and peak bytes of memory, children included, of a command that must succeed; pages that they share count once."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
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
    return {"seconds": time.perf_counter() - start, "peak_bytes": peak[0]}


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
    """The default study on a shared teacher; seconds, memory, and the best RMSE on the selection bank, normalized."""
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
    best = min(t.user_attrs["nrmse"] for t in study.get_trials() if t.state.name == "COMPLETE")
    return found | {"best": best, "trials": trials, "steps": steps}
