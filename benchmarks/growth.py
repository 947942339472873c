"""How processor seconds grow with one size at a time: members of a population, width of the teacher, features, steps of a window,
trials on record.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import optuna
import torch
from deep import WINDOW, Kind, Recurrent, setting
from torch import nn

from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.presets import PAPER
from dfkd_tune.search.optuna_kinds import AutoPruner, AutoSampler
from dfkd_tune.search.storage import open_storage
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.fused.forward import with_fused_forward
from dfkd_tune.teachers.probe import probe
from dfkd_tune.training.distill import distill_all
from dfkd_tune.training.member import Member
from dfkd_tune.training.problem import Problem

STEPS, POOL = 200, 8_192
FEATURES, WIDTH, MEMBERS = 12, 500, 8
ASKED = 40
"""Trials asked for and told at each number of trials on record."""


def problem_of(features: int, width: int) -> Problem:
    """A random tanh network as a teacher."""
    rng = torch.Generator().manual_seed(0)
    module = nn.Sequential(nn.Linear(features, width), nn.Tanh(), nn.Linear(width, 1)).requires_grad_(False)
    for parameter in module.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=rng) / math.sqrt(parameter.shape[-1]))
    teacher = with_fused_forward(Teacher("random", module, torch.float32, sha256=""))
    inputs = Inputs.unknown(features)
    return Problem(teacher, inputs, probe(teacher, inputs), pool_rows=POOL)


def population(features: int = FEATURES, width: int = WIDTH, members: int = MEMBERS) -> float:
    """Processor seconds of ``STEPS`` steps of the preset ``paper``."""
    return distilling(problem_of(features, width), members)


def windows(steps: int, members: int = MEMBERS) -> float:
    """The same for a recurrent teacher, over windows of that many steps."""
    with tempfile.TemporaryDirectory() as folder:
        return distilling(setting(Kind(Recurrent, (steps, WINDOW[1]), None), Path(folder)).problem, members)


def distilling(problem: Problem, members: int) -> float:
    """Processor seconds of ``STEPS`` steps of the preset ``paper``."""
    recipe = replace(PAPER, steps=STEPS)
    start = time.process_time()
    distill_all(problem, [Member(k, recipe, k) for k in range(members)])
    return time.process_time() - start


def asking(recorded: int) -> float:
    """Processor seconds that Optuna takes to ask for, judge and tell ``ASKED`` trials beside ``recorded`` ones, on SQLite."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    domain = optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True)
    with tempfile.TemporaryDirectory() as folder:
        storage = open_storage(f"sqlite:///{Path(folder)}/optuna.db")
        study = optuna.create_study(storage=storage, sampler=AutoSampler(0), pruner=AutoPruner())
        done = [
            optuna.trial.create_trial(
                params={"lr": 1e-3}, distributions={"lr": domain}, value=float(i), intermediate_values={1: float(i)}
            )
            for i in range(recorded)
        ]
        study.add_trials(done)
        start = time.process_time()
        for i in range(ASKED):
            trial = study.ask()
            trial.suggest_float("lr", 1e-4, 1e-2, log=True)
            trial.report(float(i), 1)
            trial.should_prune()
            study.tell(trial, float(i))
        return time.process_time() - start


def _line(sizes: tuple[int, ...], measured: Callable[[int], float]) -> Callable[[int], dict[int, float]]:
    def line(rounds: int) -> dict[int, float]:
        found = {}
        for size in sizes:
            found[size] = median(measured(size) for _ in range(rounds))
            print(f"{size:>6} {found[size]:8.2f} s", flush=True)
        return found

    return line


GROWTHS = {
    "members": _line((1, 4, 16, 64, 256), lambda size: population(members=size)),
    "teacher width": _line((500, 1_000, 2_000, 4_000, 8_000), lambda size: population(width=size)),
    "features": _line((10, 30, 100, 300, 1_000), lambda size: population(features=size)),
    "steps of a window": _line((12, 24, 48, 96, 192), windows),
    "trials on record": _line((50, 200, 500, 1_000, 2_000), asking),
}


def picture(found: dict[str, dict[int, float]], file: Path) -> None:
    """Seconds over size, doubly logarithmic, beside a linear growth from the first point."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(13, 2.9), layout="constrained")
    for axes, (name, line) in zip(figure.subplots(1, len(found)), found.items(), strict=True):
        sizes, seconds = list(line), list(line.values())
        axes.loglog(sizes, seconds, "o-", label="measured")
        axes.loglog(sizes, [seconds[0] * size / sizes[0] for size in sizes], "--", color="0.6", label="linear")
        axes.set_xlabel(name)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_formatter(NullFormatter())
        axes.set_ylabel("seconds")
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(file, dpi=110)


def main() -> None:
    """Draw what ``speed.py --parts growth`` wrote, in one run or several."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--figure", type=Path, required=True)
    args = parser.parse_args()
    found = {}
    for file in args.files:
        for name, line in json.loads(file.read_text())["growth"].items():
            found[name] = {int(size): seconds for size, seconds in line.items()}
    picture(found, args.figure)


if __name__ == "__main__":
    main()
