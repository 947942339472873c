"""Speed, side by side in one run: a trial, its distance from the floor, a study against a hand-written one, growth, memory, overhead.

    python benchmarks/speed.py --shared ../shared --parts trial floor study growth quickstart overhead --json speed.json

Ratios are medians over rounds of ratios within a round, since the machine's own speed drifts. A full trial is 20,000 student
steps of batch 100, student 50; fewer are run and scaled. Trials, floor and growth are told in processor seconds of one thread,
studies in seconds of the clock.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import commands
import figures
import torch
from floor import floor_of
from growth import GROWTHS, picture
from handwritten import handwritten_study
from overhead import overhead
from plain import plain_distillation
from quick import own_study, quickstart
from tables import shared_teacher
from torch import nn

from dfkd_tune.generators.kinds import GENERATORS
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.presets import PAPER, PRESETS
from dfkd_tune.teachers.probe import probe
from dfkd_tune.training.distill import distill_all
from dfkd_tune.training.member import Member
from dfkd_tune.training.problem import Problem
from dfkd_tune.training.rungs import RUNGS

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
    start = time.process_time()
    plain_distillation(
        problem.teacher.function, student, lambda n: torch.randn(n, features), PLAIN[preset], steps=steps, **options
    )
    return (time.process_time() - start) * FULL / steps


def of_population(problem: Problem, method: str, steps: int, members: int) -> float:
    """Seconds a member of a population, its finish included, scaled to a full trial."""
    recipe = PRESETS[method] if method in PRESETS else replace(PAPER, generator=GENERATORS[method]())
    rungs = max(1, RUNGS * steps // FULL)  # as many steps between two evaluations as a full trial has
    every = [Member(k, replace(recipe, steps=steps), k, rungs=rungs) for k in range(members)]
    start = time.process_time()
    distill_all(problem, every)
    return (time.process_time() - start) / members * FULL / steps


def trial(problem: Problem, args: argparse.Namespace) -> list[dict]:
    """A full trial, per thread, by method and K, against the plain loop."""
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
    return found


def floor(problem: Problem, args: argparse.Namespace) -> list[dict]:
    """The preset ``paper`` against what its products and activations cost alone."""
    found = []
    for members in args.members:
        rounds = []
        for _ in range(args.rounds):
            least = floor_of(problem, PAPER, members)
            seconds = of_population(problem, "paper", args.steps, members) / FULL
            rounds.append((seconds / least.seconds, seconds, least))
        ratio, seconds, least = sorted(rounds, key=lambda each: each[0])[len(rounds) // 2]
        found.append({"members": members, "ratio": ratio, "step": seconds} | least.figures())
        print(
            f"K = {members:<4} {1e6 * seconds:7.1f} us a member's step, floor {1e6 * least.seconds:6.1f} us "
            f"({least.flops / 1e6:.2f} MFLOP, {least.activations:,} activations, {least.bytes / 1e3:.0f} kB): {ratio:.2f}",
            flush=True,
        )
    return found


def study(problem: Problem, args: argparse.Namespace) -> dict:
    """Trials a minute on all cores, with pruning: a hand-written study in plain Optuna and MLflow, and ours."""
    rounds = []
    for seed in range(args.rounds):
        with tempfile.TemporaryDirectory() as folder:
            hand = handwritten_study(problem, args.trials, args.study_steps, seed, Path(folder), args.workers)
        with tempfile.TemporaryDirectory() as folder:
            own = own_study(args.shared, args.dataset, args.trials, args.study_steps, seed, Path(folder), args.workers)
        rounds.append({"handwritten": hand, "own": own, "faster": hand["seconds"] / own["seconds"]})
        print(
            f"study of {args.trials}: by hand {hand['seconds']:.0f} s, best RMSE {hand['best']:.4g}; "
            f"ours {own['seconds']:.0f} s, best RMSE {own['best']:.4g}",
            flush=True,
        )
    faster = median(each["faster"] for each in rounds)
    print(f"trials a minute: {faster:.1f} times as many")
    return {"faster": faster, "rounds": rounds}


def growth(problem: Problem, args: argparse.Namespace) -> dict:
    """Seconds against one size at a time, and how they grow."""
    found = {name: GROWTHS[name](args.rounds) for name in args.growths}
    if args.figure:
        picture(found, args.figure)
    return {name: {str(size): seconds for size, seconds in line.items()} for name, line in found.items()}


PARTS = {
    "trial": trial,
    "floor": floor,
    "study": study,
    "growth": growth,
    "quickstart": lambda problem, args: quickstart(200, args.workers),
    "overhead": lambda problem, args: overhead(200),
    "looking": lambda problem, args: commands.looking(args.command_trials, args.rounds),
    "seeded": lambda problem, args: commands.seeded(args.command_trials, args.rounds),
    "beside": lambda problem, args: commands.beside(args.command_trials, args.rounds),
    "processes": lambda problem, args: commands.processes(args.command_trials, args.rounds),
    "before": lambda problem, args: commands.before(args.trials, args.rounds, args.before),
    "avx2": lambda problem, args: commands.avx2(args.shared, args.steps, args.rounds),
}
UNASKED = ("before",)
"""Parts that run only if they are named: they need another version."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--dataset", default="cpusmall")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=[part for part in PARTS if part not in UNASKED])
    parser.add_argument("--steps", type=int, default=2_000, help="of a trial that is measured alone")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--members", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--methods", nargs="+", default=list(PLAIN), choices=[*PRESETS, *GENERATORS])
    parser.add_argument("--trials", type=int, default=200, help="of a study")
    parser.add_argument("--study-steps", type=int, default=20_000, help="of a trial in a study")
    parser.add_argument("--command-trials", type=int, default=8, help="of a study that is run as a whole command")
    parser.add_argument("--before", type=Path, help="a checkout of an earlier version, for the part of that name")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--growths", nargs="+", choices=GROWTHS, default=list(GROWTHS), help="sizes that grow")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--figure", type=Path, help="draw the growth here")
    parser.add_argument("--json", type=Path)
    figures.add_option(parser)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        teacher = shared_teacher(args.dataset, args.shared, Path(folder))
    inputs = Inputs.unknown(teacher.chain.layers[0][0].shape[1])
    problem = Problem(teacher, inputs, probe(teacher, inputs))
    found = {"arguments": {k: str(v) for k, v in vars(args).items()}}
    for part in args.parts:
        found[part] = PARTS[part](problem, args)
        if args.json:
            args.json.write_text(json.dumps(found, indent=1))
    if args.publish:
        from speed_figures import entries

        figures.publish(entries(found, args))


if __name__ == "__main__":
    main()
