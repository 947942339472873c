"""Seconds of one student, on one thread, until it is as faithful as the published one.

    python benchmarks/sooner.py --shared ../shared

The goal is the real-input RMSE of the authors' own ``direct_decreasing`` student. The preset ``paper`` is looked at after
every rung of its 20,000 steps, the preset ``faithful`` at growing budgets, each run whole from its start. A student that
never gets there is told with the seconds it took in all, which then bounds the ratio from below.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import figures
import torch
from tables import SHARED, load, shared_split, shared_teacher

from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.presets import FAITHFUL, PAPER
from dfkd_tune.teachers.probe import probe
from dfkd_tune.training.distill import distill
from dfkd_tune.training.member import Member
from dfkd_tune.training.population import Population
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils import hardware

BUDGETS = (100, 200, 400, 800, 1_200, 1_600, 2_400, 3_200, 4_800, 6_400, 12_800, 20_000)


def of_paper(problem: Problem, real: Callable, goal: float, seed: int) -> tuple[float, bool]:
    """Seconds until the preset ``paper`` reaches the goal, or of its whole run; looking is not counted."""
    member, population = Member("paper", PAPER, seed), Population(problem)
    population.admit(member)
    seconds = 0.0
    while not member.finished:
        start = time.perf_counter()
        population.advance()
        seconds += time.perf_counter() - start
        if real(PAPER, member.result()) <= goal:
            return seconds, True
    return seconds, False


def of_faithful(problem: Problem, real: Callable, goal: float, seed: int) -> tuple[float, bool, int]:
    """Seconds of the smallest budget with which the preset ``faithful`` reaches the goal, whether it does, and its steps."""
    for steps in BUDGETS:
        recipe = replace(FAITHFUL, steps=steps)
        start = time.perf_counter()
        outcome = distill(problem, recipe, seed)
        seconds = time.perf_counter() - start
        if real(recipe, outcome.weights) <= goal:
            return seconds, True, steps
    return seconds, False, steps


def entries(rows: list[dict], args: argparse.Namespace) -> dict[str, figures.Measured]:
    """What a run publishes: seconds of both presets, and how many times sooner ``faithful`` is there.

    Args:
        rows: a row a dataset and seed, as ``main`` collects them.
        args: the seeds.
    """
    reached = [row["paper"] for row in rows if row["paper_reached"]]
    limits = [row["paper"] for row in rows if not row["paper_reached"]]
    ours, sooner = [row["faithful"] for row in rows], [row["sooner"] for row in rows]
    values = {
        "faithful_seconds": f"{min(ours):.2f} to {max(ours):.2f}",
        "paper_seconds": f"{min(reached):.0f} to {max(reached):.0f}" if reached else "never",
        "paper_limit_seconds": f"{min(limits):.0f} to {max(limits):.0f}" if limits else "never",
        "median": round(median(sooner)),
        "range": f"{min(sooner):.0f} to {max(sooner):.0f}",
    }
    budget = "one student of 20,000 steps on each teacher, one thread"
    return {"sooner": figures.Measured(args.seeds, budget, values=values, machine=hardware.name())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--datasets", nargs="+", default=list(SHARED))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", type=Path)
    figures.add_option(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    published = json.loads((args.shared / "published.json").read_text())["rmse_student_vs_teacher"]["table"]
    rows = []
    for dataset in args.datasets:
        table, split = load(dataset, args.shared, None), shared_split(dataset, args.shared)
        test, goal = torch.from_numpy(table.x[split["test"]]), published[dataset]["direct_decreasing"]
        with tempfile.TemporaryDirectory() as folder:
            teacher = shared_teacher(dataset, args.shared, Path(folder))
        inputs = Inputs.unknown(test.shape[1])
        problem = Problem(teacher, inputs, probe(teacher, inputs))
        with torch.no_grad():
            answers = teacher(test)

        def real(recipe, weights, problem=problem, test=test, answers=answers) -> float:
            with torch.no_grad():
                return float((problem.module(recipe.student, weights)(test) - answers).square().mean().sqrt())

        distill(problem, replace(FAITHFUL, steps=100), 99)  # what is imported once
        for seed in args.seeds:
            paper, there = of_paper(problem, real, goal, seed)
            ours, reached, steps = of_faithful(problem, real, goal, seed)
            rows.append(
                {"dataset": dataset, "seed": seed, "paper": paper, "paper_reached": there}
                | {"faithful": ours, "faithful_reached": reached, "steps": steps, "sooner": paper / ours}
            )
            print(
                f"{dataset:<10} seed {seed}: paper {'' if there else 'not within '}{paper:.1f} s, "
                f"faithful {'' if reached else 'not within '}{ours:.2f} s ({steps} steps' budget), "
                f"{'' if there else 'at least '}{paper / ours:.0f} times sooner",
                flush=True,
            )
    print(f"median: {median(row['sooner'] for row in rows):.0f} times sooner")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))
    if args.publish:
        figures.publish(entries(rows, args))


if __name__ == "__main__":
    main()
