"""The table of Zhou & Chiam 2023, through the population loop, beside the published figures.

    python benchmarks/paper.py --shared ../shared --seeds 1 2 3

RMSE on the real test split against true labels, standardized units. Protocol ``paper`` (the default) picks each student's
checkpoint by real labeled validation rows, as published; that is allowed in this benchmark alone. Protocol ``ours`` picks
it by the pruning bank: no real row. They are never mixed in one table. Every published seed had a split and a teacher of
its own, and so has every seed here; ``--shared-teacher`` takes the published teacher and split of seed 10 instead.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
import time
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import figures
import numpy as np
import torch
from rich.console import Console
from rich.table import Table as Sheet
from tables import SHARED, as_teacher, load, shared_split, shared_teacher
from train import train_teachers

from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.locations.paths import home, sqlite_url
from dfkd_tune.recipes.mixing import Constant
from dfkd_tune.recipes.presets import ADVERSARIAL, PAPER, RANDOM
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.tracking.tracker import Tracker
from dfkd_tune.training.banks import Bank
from dfkd_tune.training.member import Member
from dfkd_tune.training.population import Population
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils.seeding import derive

PUBLISHED_SEEDS = 10


def methods(steps: int) -> dict[str, Recipe]:
    """The five methods at the published hyper-parameters.

    Alone (alpha 1) a generator makes the whole batch of 100 rows, over which the published regularizers are summed.
    """
    alone = Constant(1.0)
    found = {
        "random": RANDOM,
        "generator_decreasing": ADVERSARIAL,
        "direct_decreasing": PAPER,
        "generator_alpha1": replace(ADVERSARIAL, alpha=alone, generator=replace(ADVERSARIAL.generator, beta=1e-3)),
        "direct_alpha1": replace(PAPER, alpha=alone, generator=replace(PAPER.generator, decay=1e-3)),
    }
    return {name: replace(recipe, steps=steps) for name, recipe in found.items()}


def run(
    teacher: Teacher, split: dict, x: np.ndarray, y: np.ndarray, seed: int, args: argparse.Namespace, track
) -> list[dict]:
    """All methods and sizes on one teacher, in one population; returns a row each.

    The published regularizers weigh against gaps in the teacher's own units, so nothing is normalized here.
    """
    inputs = Inputs.unknown(x.shape[1])
    problem = Problem(teacher, inputs, probe(teacher, inputs), seed=seed, normalize=False)
    rungs = 20
    if args.protocol == "paper":  # checkpoints by real labels, as published
        rungs = args.checkpoints
        problem = copy.copy(problem)
        rows = torch.from_numpy(x[split["valid"]])
        labels = (torch.from_numpy(y[split["valid"]])[:, None] - problem.shift) / problem.spread
        problem.banks = problem.banks | {"pruning": Bank(rows, labels, problem.spread)}
    test, goal = torch.from_numpy(x[split["test"]]), torch.from_numpy(y[split["test"]])
    with torch.no_grad():
        answers = teacher(test)[:, 0]
    teacher_rmse = float((answers - goal).square().mean().sqrt())
    population, start = Population(problem), time.perf_counter()
    for name, recipe in methods(args.steps).items():
        for width in args.widths:
            key = f"{track.dataset}-{name}-{width}-seed{seed}"
            population.admit(Member(key, recipe.with_student(width=width), derive(seed, key), rungs))
            track.open(key, recipe.leaves() | {"dataset": track.dataset, "method": name, "width": width, "seed": seed})
    while any(not member.finished for member in population.members):
        population.advance()
    seconds = (time.perf_counter() - start) / len(population)
    found = []
    for member in population.members:
        name, width = member.key.split("-")[1], member.recipe.student.width
        student = problem.module(member.recipe.student, member.result())
        with torch.no_grad():
            out = student(test)[:, 0]
        row = {
            "dataset": track.dataset,
            "method": name,
            "width": width,
            "seed": seed,
            "rmse_labels": float((out - goal).square().mean().sqrt()),
            "rmse_teacher": float((out - answers).square().mean().sqrt()),
            "teacher": teacher_rmse,
            "seconds": seconds,
        }
        found.append(row)
        track.close(
            member.key,
            {k: row[k] for k in ("rmse_labels", "rmse_teacher", "teacher", "seconds")},
            member.curve[:: max(1, rungs // 20)],
        )
    return found


class Track:
    """The benchmark as one MLflow experiment, or nowhere."""

    def __init__(self, uri: str | None, protocol: str):
        self.dataset = ""
        self._tracker = Tracker(uri, f"paper-table-{protocol}") if uri else None
        if self._tracker:
            self._tracker.open_study({"protocol": protocol}, {})

    def open(self, key: str, params: dict) -> None:
        if self._tracker:
            self._tracker.open_run(key, "benchmark", params)

    def close(self, key: str, metrics: dict, curve: list) -> None:
        if self._tracker:
            self._tracker.close_run(key, "FINISHED", metrics, {}, curve)

    def finish(self) -> None:
        if self._tracker:
            self._tracker.close_study("FINISHED", {}, {})


def compare(rows: list[dict], published: dict, seed10: bool) -> tuple[Sheet, int, int]:
    """The cells beside the published ones, how many lie within two published standard deviations, and how many there are."""
    sheet = Sheet(
        title="RMSE against labels on the real test split: ours, published, difference in published standard deviations"
    )
    for column in ("dataset", "width", "method", "ours", "published", "difference"):
        sheet.add_column(column, justify="left" if column in ("dataset", "method") else "right")
    inside = cells = 0
    for key in sorted({(r["dataset"], r["width"], r["method"]) for r in rows}):
        dataset, width, method = key
        mine = np.array([r["rmse_labels"] for r in rows if (r["dataset"], r["width"], r["method"]) == key])
        theirs = published[str(width)][dataset][method]
        anchor = theirs["seed10"] if seed10 else theirs["mean"]
        away = (mine.mean() - anchor) / theirs["std"]
        cells, inside = cells + 1, inside + (abs(away) <= 2)
        sheet.add_row(
            dataset,
            str(width),
            method,
            f"{mine.mean():.4f} ± {mine.std():.4f}",
            f"{anchor:.4f} ± {theirs['std']:.4f}",
            f"{away:+.1f}",
        )
    return sheet, inside, cells


def orders(rows: list[dict], published: dict) -> tuple[int, list[str]]:
    """Pairs of methods whose published means differ by more than twice their standard error: how many have the same order
    here, and a line for each whose order is reversed."""
    found, upheld = [], 0
    for dataset, width in sorted({(r["dataset"], r["width"]) for r in rows}):
        cells = published[str(width)][dataset]
        mine: dict[str, dict[int, float]] = {}
        for r in rows:
            if (r["dataset"], r["width"]) == (dataset, width):
                mine.setdefault(r["method"], {})[r["seed"]] = r["rmse_labels"]
        for a, b in combinations(sorted(mine, key=lambda name: cells[name]["mean"]), 2):
            gap = cells[b]["mean"] - cells[a]["mean"]
            noise = 2 * ((cells[a]["std"] ** 2 + cells[b]["std"] ** 2) / PUBLISHED_SEEDS) ** 0.5
            if gap <= noise:
                continue
            ours = np.array([mine[b][seed] - mine[a][seed] for seed in mine[a]])  # on the same teacher and split
            error = ours.std(ddof=1) / len(ours) ** 0.5 if len(ours) > 1 else float("nan")
            if ours.mean() > 0:
                upheld += 1
            else:
                found.append(
                    f"{dataset} {width}: {a} before {b} by {gap:.4f} published, {ours.mean():+.4f} ± {error:.4f} here"
                )
    return upheld, found


def measure(args: argparse.Namespace) -> list[dict]:
    """Run what is asked for; returns a row a student."""
    torch.set_num_threads(args.threads)
    uri = None if args.tracking_uri == "none" else args.tracking_uri or sqlite_url(home() / "mlflow.db")
    track, rows, console = Track(uri, args.protocol), [], Console(width=130)
    for dataset in args.datasets:
        table, track.dataset = load(dataset, args.shared, args.cache), dataset
        if args.shared_teacher:
            with tempfile.TemporaryDirectory() as folder:
                jobs = [(10, shared_split(dataset, args.shared), shared_teacher(dataset, args.shared, Path(folder)))]
        else:
            splits = [table.split(seed) for seed in args.seeds]
            modules = train_teachers(table.x, table.y, splits, args.seeds)
            teachers = [
                as_teacher(f"{dataset} seed {seed}", module) for seed, module in zip(args.seeds, modules, strict=True)
            ]
            jobs = list(zip(args.seeds, splits, teachers, strict=True))
        for seed, split, teacher in jobs:
            found = run(teacher, split, table.x, table.y, seed, args, track)
            rows += found
            console.print(
                f"{dataset} seed {seed}: teacher {found[0]['teacher']:.4f}, {found[0]['seconds']:.1f} s a student",
                highlight=False,
            )
            if args.json:
                args.json.write_text(json.dumps(rows, indent=1))
    track.finish()
    return rows


COLUMNS = ("random", "generator_decreasing", "direct_decreasing", "generator_alpha1", "direct_alpha1")
"""Methods in the order of the published columns."""
TITLES = {
    "random": "random",
    "generator_decreasing": "generator, alpha decreasing",
    "direct_decreasing": "direct, alpha decreasing",
    "generator_alpha1": "generator, alpha 1",
    "direct_alpha1": "direct, alpha 1",
}
WIDTH = 50
"""Width of the students in the published table."""


def entries(rows: list[dict], published: dict, args: argparse.Namespace) -> dict[str, figures.Measured]:
    """What a run of both widths publishes: the table of width 50, what holds of all cells, and the cells that lie outside.

    Args:
        rows: a row a student, of one protocol.
        published: width -> dataset -> method -> mean and deviation.
        args: the number of checkpoints.
    """
    table, outside = {}, {}
    for width, dataset in sorted({(row["width"], row["dataset"]) for row in rows}):
        shown = []
        for method in COLUMNS:
            mine = [row for row in rows if (row["width"], row["dataset"], row["method"]) == (width, dataset, method)]
            labels = np.array([row["rmse_labels"] for row in sorted(mine, key=lambda row: row["seed"])])
            theirs = published[str(width)][dataset][method]
            shown.append(f"{three(labels.mean())} ± {three(labels.std())} / {three(theirs['mean'])}")
            away = (labels.mean() - theirs["mean"]) / theirs["std"]
            if abs(away) > 2:
                name = f"{dataset}, {TITLES[method]}, student {width}"
                outside[name] = [three(labels.mean()), f"{away:+.1f}", ", ".join(map(three, labels))]
        if width == WIDTH:
            table[dataset] = shown
    (_, inside, cells), (upheld, reversed_) = compare(rows, published, False), orders(rows, published)
    values = {"cells": cells, "cells_within": inside, "pairs": upheld + len(reversed_), "pairs_in_order": upheld}
    seeds, budget = sorted({row["seed"] for row in rows}), f"2,000 epochs of 10 steps, {args.checkpoints} checkpoints"
    return {
        "paper": figures.Measured(
            seeds, f"{budget}, each run picks its checkpoint by real validation labels", table, values
        ),
        "paper_outliers": figures.Measured(seeds, budget, outside, open_rows=True),
    }


def three(value: float) -> str:
    """A number with three decimals, with four if it is below a tenth."""
    return f"{value:.3f}" if value >= 0.1 else f"{value:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--cache", type=Path, help="OpenML's cache, for tables that are not shared")
    parser.add_argument("--datasets", nargs="+", default=list(SHARED))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--widths", type=int, nargs="+", default=[25, 50])
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--protocol", choices=("paper", "ours"), default="paper")
    parser.add_argument("--checkpoints", type=int, default=400, help="validations a run; the published code has 2000")
    parser.add_argument("--shared-teacher", action="store_true", help="the published teacher and split of seed 10")
    parser.add_argument("--tracking-uri", help="MLflow; default mlruns/mlflow.db; 'none' for no records")
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--read", type=Path, nargs="+", help="print what earlier runs wrote with --json, and run nothing"
    )
    figures.add_option(parser)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    if args.publish and (args.protocol != "paper" or args.shared_teacher):
        parser.error("--publish: the published tables are of the paper's protocol and of a teacher a seed")
    rows = [row for file in args.read for row in json.loads(file.read_text())] if args.read else measure(args)
    console = Console(width=130)
    published = json.loads((args.shared / "published.json").read_text())["rmse_vs_labels"]["table"]
    known = [row for row in rows if row["dataset"] in published[str(row["width"])]]
    sheet, inside, cells = compare(known, published, args.shared_teacher)
    console.print(sheet)
    console.print(
        f"{inside} of {cells} cells within two published standard deviations (protocol {args.protocol})",
        highlight=False,
    )
    if not args.shared_teacher:
        upheld, found = orders(known, published)
        head = f"{upheld} of {upheld + len(found)} published orders beyond the noise hold here"
        console.print(head, *found, sep="\n", highlight=False)
    if args.publish:
        figures.publish(entries(known, published, args))


if __name__ == "__main__":
    main()
