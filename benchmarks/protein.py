"""The protein case of Zhou & Chiam 2023: a support vector regression distilled into 100 radial basis functions.

    python benchmarks/protein.py --table generated
    python benchmarks/protein.py --table proteins.csv

RMSE on real test rows, against labels and against the teacher, beside the published figures, which belong to the paper's
own table. Real rows train the teacher and measure the students, and choose nothing. Seconds are of the processor.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import figures
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from dfkd_tune.generators.kinds import GENERATORS
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.presets import PAPER, RANDOM
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.students.kinds import STUDENTS
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.black_box import from_numpy
from dfkd_tune.teachers.probe import probe
from dfkd_tune.training.member import Member
from dfkd_tune.training.population import Population
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils.seeding import derive

sys.path.append(str(Path(__file__).resolve().parent.parent / "studies"))
train_protein = importlib.import_module("train_protein")

PUBLISHED = {"teacher": ".2457", "random": ".2887", "evolution": ".2641, .2739"}
TITLES = {"random": "random sampling", "evolution": "differential evolution"}
SHARES = "shares"
"""What is known of the inputs: that they are shares, and nothing else."""
HOURS = "over 6 h"
"""What a run of the published method took."""


def knowledge(table, train: np.ndarray) -> dict[str, Inputs]:
    """What may be said of the inputs: that they are shares alone, or the mean and deviation of each as well."""
    every = range(len(table.names))
    mean, std = 1 / len(every), ((len(every) - 1) / (len(every) ** 2 * (len(every) + 1))) ** 0.5
    alone = [Feature(name=name, mean=mean, std=std) for name in table.names]
    moments = [Feature(**feature) for feature in train_protein.describe(table.names, table.x[train])["features"]]
    return {SHARES: Inputs(alone, every), "moments": Inputs(moments, every)}


def methods(args: argparse.Namespace) -> dict[str, Recipe]:
    """Random sampling, and evolution with the published objective ``-0.05 (T - S)^2 + (T - r)^2``, ``r ~ U(0, 1)``."""
    evolution = GENERATORS["evolution"](
        weight=0.05, pull=1.0, low=0.0, high=1.0, every=args.every, generations=args.generations, rows=args.rows
    )
    found = {"random": RANDOM, "evolution": replace(PAPER, generator=evolution)}
    return {k: replace(r, student=STUDENTS["rbf"](width=100), steps=args.steps) for k, r in found.items()}


def run(problem: Problem, name: str, recipe: Recipe, seeds: list[int]) -> tuple[list[torch.nn.Module], float]:
    """One method's students, a seed each, and the seconds each took."""
    population, start = Population(problem), time.process_time()
    for seed in seeds:
        population.admit(Member(seed, recipe, derive(seed, name)))
    while any(not member.finished for member in population.members):
        population.advance()
    seconds = (time.process_time() - start) / len(seeds)
    return [problem.module(recipe.student, member.result()) for member in population.members], seconds


def entries(found: list[dict], args: argparse.Namespace) -> dict[str, figures.Measured]:
    """What a run of two seeds publishes: RMSE to labels by seed, with only the shares declared.

    Args:
        found: a row a method and what is known, as ``main`` collects them.
        args: seeds and steps.
    """
    mine = {row["method"]: row["labels"] for row in found if row["inputs"] == SHARES}
    rows = {shown: [f"{value:.3f}" for value in mine[name]] for name, shown in TITLES.items()}
    return {"protein": figures.Measured(args.seeds, f"{args.steps:,} steps", rows, tier="T2")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", default="generated", help="CSV: 20 amino-acid shares, then solubility; or generated")
    parser.add_argument("--split", type=int, default=0, help="seed of the split, and of the generated table")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=50, help="student steps on one evolution")
    parser.add_argument("--generations", type=int, default=20)
    parser.add_argument("--rows", type=int, default=100, help="candidates of an evolution")
    parser.add_argument("--json", type=Path)
    figures.add_option(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    read = train_protein.read_table
    table = train_protein.generated(args.split) if args.table == "generated" else read(Path(args.table))
    train, test = table.split(args.split)
    svr = train_protein.fit(table.x[train], table.y[train])
    teacher = Teacher("protein", from_numpy(svr.predict), torch.float64, "benchmark")
    x, goal, answers = table.x[test], table.y[test], svr.predict(table.x[test])
    sheet = Table(title=f"Test RMSE, {len(test)} rows of {args.table}; {args.steps} steps, seeds {args.seeds}")
    for column in (
        "inputs known",
        "method",
        "against labels",
        "published",
        "against the teacher",
        "seconds",
        "published",
    ):
        sheet.add_column(column, justify="left" if column in ("inputs known", "method") else "right")
    sheet.add_row("", "teacher", f"{train_protein.rmse(answers, goal):.4f}", PUBLISHED["teacher"], "", "", "")
    found = []
    for known, inputs in knowledge(table, train).items():
        problem = Problem(teacher, inputs, probe(teacher, inputs), pool_rows=8_192)
        for name, recipe in methods(args).items():
            students, seconds = run(problem, name, recipe, args.seeds)
            outs = [student(torch.from_numpy(x).float())[:, 0].detach().double().numpy() for student in students]
            labels, gaps = ([train_protein.rmse(out, to) for out in outs] for to in (goal, answers))
            found.append({"inputs": known, "method": name, "labels": labels, "teacher": gaps, "seconds": seconds})
            shown = [", ".join(f"{value:.4f}" for value in values) for values in (labels, gaps)]
            hours = HOURS if name == "evolution" else ""
            sheet.add_row(known, name, shown[0], PUBLISHED[name], shown[1], f"{seconds:.0f}", hours)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))
    Console(width=130).print(sheet)
    if args.publish:
        figures.publish(entries(found, args))


if __name__ == "__main__":
    main()
