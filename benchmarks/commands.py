"""Whole commands, as users run them, in ratios: of processor time and of the clock, medians over rounds of ratios within a round.

    python benchmarks/speed.py --shared DIR --parts looking
    python benchmarks/speed.py --shared DIR --parts seeded beside processes before avx2 --before OTHER_CHECKOUT

Processor time is nearly the same on a busy machine. The clock needs an idle one.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil

TUNE = [sys.executable, "-m", "dfkd_tune"]
LOOKING = {
    "`python -c 'import optuna'`": [sys.executable, "-c", "import optuna"],
    "`dfkd-tune --help`": [*TUNE, "--help"],
    "`dfkd-tune list`": [*TUNE, "list"],
    "`dfkd-tune show`": [*TUNE, "show"],
}
"""Commands that only look; all are compared with the first."""
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
"""Variables that keep PyTorch and MKL from AVX-512."""
PROCESSES = (1, 2, 4)
BUSY = 2


PR_SET_CHILD_SUBREAPER = 36
"""Of Linux: processes whose parent has ended become children of this one. The server that forks workers ends after its command."""


class Cost(NamedTuple):
    """Seconds of a command and its children: of the processor and of the clock."""

    processor: float
    clock: float

    def over(self, other: Cost) -> Cost:
        """The ratios to another cost."""
        return Cost(self.processor / other.processor, self.clock / other.clock)


Ratios = dict[str, dict[str, float]]
"""Row -> ``processor`` and ``clock``, as ratios to the first row."""


def cost(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> Cost:
    """What a command costs, which must succeed; processes that outlive it count, too."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    others = {child.pid for child in psutil.Process().children()}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=os.environ | (environment or {}), capture_output=True, text=True)
    clock = time.perf_counter() - start
    for orphan in {child.pid for child in psutil.Process().children()} - others:
        os.waitpid(orphan, 0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return Cost(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, clock)


def compared(works: Mapping[str, Callable[[], Cost]], rounds: int) -> Ratios:
    """The ratios of works to the first of them; in each round, all run one after another."""
    found: dict[str, list[Cost]] = {name: [] for name in works}
    for _ in range(rounds):
        costs = {name: work() for name, work in works.items()}
        first = next(iter(costs.values()))
        for name, each in costs.items():
            found[name].append(each.over(first))
    ratios = {
        name: {"processor": median(c.processor for c in costs), "clock": median(c.clock for c in costs)}
        for name, costs in found.items()
    }
    for name, ratio in ratios.items():
        print(f"{name:<40} {ratio['processor']:.2f} of processor time, {ratio['clock']:.2f} of the clock", flush=True)
    return ratios


def study(trials: int, *options: str, environment: Mapping[str, str] | None = None) -> Cost:
    """The shipped study in a fresh folder."""
    with tempfile.TemporaryDirectory() as folder:
        return cost([*TUNE, "study", "--n-trials", str(trials), *options], Path(folder), environment)


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes compute during the block."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def looking(trials: int, rounds: int) -> Ratios:
    """Commands that only look at a study, over the import of Optuna."""
    with tempfile.TemporaryDirectory() as folder:
        cost([*TUNE, "study", "--n-trials", str(trials)], Path(folder))
        for command in LOOKING.values():  # compiled files, pages of the disk
            cost(command, Path(folder))
        return compared({name: lambda c=command: cost(c, Path(folder)) for name, command in LOOKING.items()}, rounds)


def seeded(trials: int, rounds: int) -> Ratios:
    """A study with a seed over one without."""
    return compared(
        {"without a seed": lambda: study(trials), "with a seed": lambda: study(trials, "--seed", "0")}, rounds
    )


def beside(trials: int, rounds: int) -> Ratios:
    """A study with a seed beside busy processes over the same on an idle machine."""

    def crowded() -> Cost:
        with busy(BUSY):
            return study(trials, "--seed", "0")

    works = {"idle": lambda: study(trials, "--seed", "0"), f"beside {BUSY} busy processes": crowded}
    return compared(works, rounds)


def processes(trials: int, rounds: int) -> Ratios:
    """A study on several processes over the same on one."""
    return compared({str(n): lambda n=n: study(trials, "--workers", str(n)) for n in PROCESSES}, rounds)


def before(trials: int, rounds: int, folder: Path) -> Ratios:
    """A study over the same by an earlier version, of which ``folder`` is a checkout."""
    earlier = {"PYTHONPATH": str(folder.resolve())}
    return compared(
        {"earlier version": lambda: study(trials, environment=earlier), "this version": lambda: study(trials)}, rounds
    )


def avx2(shared: Path, steps: int, rounds: int, members: int = 8) -> dict[str, float]:
    """The part ``floor`` of ``speed.py`` without AVX-512: how far a step is from its floor, which is slower, too."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "floor.json"
        own = [sys.executable, str(Path(__file__).with_name("speed.py")), "--shared", str(shared.resolve())]
        options = ["--parts", "floor", "--members", str(members), "--steps", str(steps), "--rounds", str(rounds)]
        cost([*own, *options, "--json", str(out)], Path(__file__).parent, AVX2)
        (found,) = json.loads(out.read_text())["floor"]
    print(f"without AVX-512, K = {members}: {found['ratio']:.2f} times the floor", flush=True)
    return {"members": members, "ratio": found["ratio"]}
