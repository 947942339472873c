"""Seconds of a full trial on one thread: the plain loop, one member alone, K members, side by side.

    python benchmarks/seconds.py --shared ../shared --steps 2000
    python benchmarks/seconds.py --shared ../shared --steps 500 --members 8 --methods faithful impressions evolution

Each figure is the median over rounds, scaled to 20,000 student steps, student 50. A method is a preset, or a generator in
the preset ``paper``. The ratio is against the plain loop of the same round, since the machine's own speed drifts; methods
that have no plain loop are told in seconds alone.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
from plain import plain_distillation
from tables import shared_teacher
from torch import nn

from dfkd_tune.distillation import distill_all
from dfkd_tune.generators import GENERATORS
from dfkd_tune.inputs import Inputs
from dfkd_tune.member import Member
from dfkd_tune.problem import Problem
from dfkd_tune.recipe import PAPER, PRESETS
from dfkd_tune.teachers import probe

FULL = 20_000
PLAIN = {"random": "random", "adversarial": "adversarial", "paper": "direct"}


def of_plain(problem: Problem, preset: str, steps: int) -> float:
    """Seconds of the plain loop, scaled to a full trial."""
    torch.manual_seed(0)
    features = problem.features
    student = nn.Sequential(nn.Linear(features, 50), nn.Tanh(), nn.Linear(50, problem.outputs))
    options = {}
    if preset == "adversarial":
        options = {
            "generator": nn.Sequential(nn.Linear(50, 500), nn.Tanh(), nn.Linear(500, features)),
            "noise": lambda n: torch.randn(n, 50),
        }
    start = time.perf_counter()
    plain_distillation(
        problem.teacher.function, student, lambda n: torch.randn(n, features), PLAIN[preset], steps=steps, **options
    )
    return (time.perf_counter() - start) * FULL / steps


def of_population(problem: Problem, method: str, steps: int, members: int) -> float:
    """Seconds a member of a population, its finish included, scaled to a full trial."""
    recipe = PRESETS[method] if method in PRESETS else replace(PAPER, generator=GENERATORS[method]())
    start = time.perf_counter()
    distill_all(problem, [Member(k, replace(recipe, steps=steps), k) for k in range(members)])
    return (time.perf_counter() - start) / members * FULL / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--dataset", default="cpusmall")
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--members", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--methods", nargs="+", default=list(PLAIN), choices=[*PRESETS, *GENERATORS])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        teacher = shared_teacher(args.dataset, args.shared, Path(folder))
    inputs = Inputs.unknown(teacher.chain.layers[0][0].shape[1])
    problem = Problem(teacher, inputs, probe(teacher, inputs))
    found = []
    for method in args.methods:
        rounds: dict[str, list[float]] = {}
        for _ in range(args.rounds):
            if method in PLAIN:
                rounds.setdefault("plain", []).append(of_plain(problem, method, args.steps))
            for members in args.members:
                rounds.setdefault(f"K = {members}", []).append(of_population(problem, method, args.steps, members))
        for name, seconds in rounds.items():
            ratios = [plain / own for plain, own in zip(rounds.get("plain", []), seconds, strict=False)]
            faster = median(ratios) if ratios else None
            found.append({"method": method, "loop": name, "seconds": median(seconds), "faster": faster})
            beside = f", {faster:5.2f} times as fast as plain" if faster else ""
            print(f"{method:<16} {name:<7} {median(seconds):7.2f} s a full trial{beside}", flush=True)
    if args.json:
        args.json.write_text(
            json.dumps({"arguments": {k: str(v) for k, v in vars(args).items()}, "rows": found}, indent=1)
        )


if __name__ == "__main__":
    main()
