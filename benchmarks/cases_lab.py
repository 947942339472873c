"""Where cases are run: a folder each, the command line in a process each, a time limit each, and what it came to."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
PATIENCE = 240.0
"""Seconds that a command may take."""
TINY = {"steps": 300, "batch": 50, "pool": 1000, "bank": 500}
RECIPE = {
    "student": {"kind": "mlp", "width": 20},
    "generator": {"kind": "gaussian"},
    **{part: {"kind": kind} for part, kind in {"initializer": "random", "loss": "mse", "refiner": "none"}.items()},
    "steps": 300,
    "batch": 50,
}
"""Short, and for teachers of every kind."""
THREE = [{"name": name, "mean": 0, "std": 1} for name in "abc"]
TEACHER = """import torch
from torch import nn

def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 40), nn.Tanh(), nn.Linear(40, 1)).eval()
"""


@dataclass(frozen=True)
class Outcome:
    """What a case came to: ``now`` in words, and whether it is as expected."""

    now: str
    good: bool


@dataclass(frozen=True)
class Case:
    """An input on which the tool failed.

    Args:
        row: how the first cell of its row in the shared README begins.
        expected: what a user expects, in short.
        run: makes it in a folder of its own and tells what it came to.
        part: of the row, where one row has several cases.
    """

    row: str
    expected: str
    run: Callable[[Lab], Outcome]
    part: str = ""

    @property
    def name(self) -> str:
        return f"{self.row} ... {self.part}" if self.part else self.row


@dataclass(frozen=True)
class Ended:
    """A command that ended: its exit status, None where the limit ended it, its seconds and both its streams."""

    status: int | None
    seconds: float
    out: str
    err: str

    @property
    def last(self) -> str:
        """Its last line, of the errors where it failed."""
        lines = ((self.err if self.status else "") or self.out or self.err).strip().splitlines()
        return lines[-1] if lines else ""

    def __str__(self) -> str:
        return f"exit {self.status}, {self.seconds:.0f} s: {self.last}"

    def refused(self, *words: str) -> bool:
        """Whether it ended with status 1 and one line of the tool's, which says all words."""
        told = [line for line in self.err.splitlines() if line.startswith("dfkd-tune: ")]
        rest = [line for line in self.err.splitlines() if "waiting for" not in line]
        return self.status == 1 and len(told) == len(rest) == 1 and all(word in told[0] for word in words)

    def number(self, pattern: str) -> float:
        """The first group of a pattern in what it printed; not a number where it is not there."""
        found = re.search(pattern, self.out + self.err)
        return float(found[1].replace(",", "")) if found else float("nan")


@dataclass(frozen=True)
class Lab:
    """The folder of one case.

    Args:
        here: where its commands run.
        cases: the shared cases, as their ``make.py`` wrote them.
    """

    here: Path
    cases: Path

    def write(self, name: str, text: str) -> Path:
        file = self.here / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def teacher(self, source: str = TEACHER) -> None:
        """``teacher.py`` and a features file of three features."""
        self.write("teacher.py", source)
        self.write("features.yaml", yaml.safe_dump({"features": THREE}))

    def spec(self, teacher: str = "teacher:make", features: str = "features.yaml", trials: int = 1, **more) -> None:
        """``study.yaml``, a study called pump."""
        study = {"name": "pump", "trials": trials, "seed": 0, "population": 2, "reruns": 0}
        tree = {"study": study, "teacher": teacher, "features": features, "budget": TINY, **more}
        self.write("study.yaml", yaml.safe_dump(tree))

    def ask(self, *argv: object, limit: float = PATIENCE, prefix: tuple = (), **env: str) -> Ended:
        """The command line, as its script runs it."""
        return self.run([*prefix, sys.executable, "-m", "dfkd_tune", *map(str, argv)], limit, **env)

    def python(self, source: str, limit: float = PATIENCE, **env: str) -> Ended:
        return self.run([sys.executable, "-c", source], limit, **env)

    def run(self, command: list[str], limit: float = PATIENCE, **env: str) -> Ended:
        start, ended = time.perf_counter(), self.start(command, **env)
        try:
            out, err = ended.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            self.stop(ended)
            out, err = ended.communicate()
            return Ended(None, time.perf_counter() - start, out, err)
        return Ended(ended.returncode, time.perf_counter() - start, out, err)

    def start(self, command: list[str], **env: str) -> subprocess.Popen:
        # Teachers of a case lie in its folder, as a user has them.
        path = os.pathsep.join([str(ROOT), str(self.here)])
        base = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_TRACKING")}
        lean = {"PYTHONPATH": path, "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            command,
            cwd=self.here,
            env=base | lean | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    @staticmethod
    def stop(process: subprocess.Popen) -> None:
        """End a command with its children."""
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def told(ended: Ended, good: bool) -> Outcome:
    return Outcome(str(ended), good)


def agree(reported: float, true: float) -> bool:
    """Whether two figures agree within 5 %."""
    return abs(reported / true - 1) <= 0.05


def cases_not_written(shared: Path, folder: Path) -> str | None:
    """Write the shared cases below a folder; why that cannot be, in a line, where it cannot."""
    maker = shared / "cases" / "make.py"
    if not maker.exists():
        return f"{maker} is absent: no cases to run"
    made = subprocess.run([sys.executable, str(maker.resolve()), str(folder)], capture_output=True, text=True)
    return made.stderr.strip().splitlines()[-1] if made.returncode else None


def in_a_folder(run: Callable[[Lab], Any], cases: Path) -> Any:
    """What a case comes to in a folder that is gone afterwards; an outcome where the case itself breaks, which leaves the others."""
    with tempfile.TemporaryDirectory(prefix="case-") as folder:
        try:
            return run(Lab(Path(folder), cases))
        except Exception as error:
            return Outcome(f"this benchmark broke: {type(error).__name__}: {error}", False)
