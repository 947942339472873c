"""What more knowledge of the inputs would buy: as ``check`` estimates it, and as it was.

    python benchmarks/knowledge.py --shared ../shared

The estimate reads no real row. The measured gain is 1 minus the ratio of two RMSE on real test inputs: of the preset ``faithful`` with one
more tier declared, and without. The shapes of the plausible worlds were chosen with the five shared tables in view, not with those of
scikit-learn, whose teachers are trained here. One constant is fitted to all: how much wider the intervals are than the worlds' own.
``left out`` counts the intervals that hold the measured gain if that constant comes from the other tables.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import figures
import numpy as np
import torch
from ablation import known, sized
from rich.console import Console
from rich.table import Table as Sheet
from scipy.stats import spearmanr
from sklearn import datasets
from sklearn.model_selection import train_test_split
from tables import SHARED, Table, as_teacher, load, shared_split, shared_teacher
from train import train_teachers

from dfkd_tune.evaluation.knowledge.estimate import WIDENED, estimate_gain
from dfkd_tune.recipes.presets import FAITHFUL
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.training.distill import distill_all
from dfkd_tune.training.member import Member
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils.seeding import derive

COVERED = 0.8
"""Share of the measured gains that the intervals should hold."""
TIERS = ("none", "quantiles", "correlation", "mixture")
NEW = {
    "diabetes": None,
    "wine": "color_intensity",
    "breast_cancer": "worst concave points",
    "digits": None,
}
"""Tables of scikit-learn -> the column that its teacher predicts; None for its target."""


def opened(name: str, shared: Path, folder: Path) -> tuple[Table, dict[str, np.ndarray], Teacher]:
    """A table, its split and its teacher; a teacher of a table of scikit-learn is trained here."""
    if name not in NEW:
        return load(name, shared), shared_split(name, shared), shared_teacher(name, shared, folder)
    bunch = getattr(datasets, f"load_{name}")()
    x, y, column = bunch.data, bunch.target.astype(float), NEW[name]
    if column is not None:
        at = list(bunch.feature_names).index(column)
        x, y = np.delete(x, at, 1), x[:, at]
    x = x[:, x.std(0) > 0]
    table = Table(name, *((each - each.mean(0)) / each.std(0) for each in (x, y)))
    table = Table(name, table.x.astype(np.float32), table.y.astype(np.float32))
    train, rest = train_test_split(np.arange(len(x)), train_size=0.6, random_state=0)
    valid, test = train_test_split(rest, train_size=0.25, random_state=0)
    split = {"train": train, "valid": valid, "test": test}
    return table, split, as_teacher(name, train_teachers(table.x, table.y, [split], [0])[0])


def measure(dataset: str, shared: Path, seeds: list[int], steps: int) -> list[dict]:
    """The gain of each tier over the one before on one table, as estimated and as measured: a row a tier.

    Args:
        dataset, shared: name of the table, and the folder of all.
        seeds: seeds of estimates and students.
        steps: steps of a student.
    """
    errors, gains = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        table, split, teacher = opened(dataset, shared, Path(folder))
        declared = {tier: known(table, split, tier, Path(folder)) for tier in TIERS}
    test = torch.from_numpy(table.x[split["test"]])
    with torch.no_grad():
        answers = teacher(test)
    for tier, inputs in declared.items():
        found = probe(teacher, inputs)
        problem = Problem(teacher, inputs, found)
        recipe = replace(sized(FAITHFUL, problem, 50), steps=steps)
        if tier != TIERS[-1]:
            start = time.perf_counter()
            gains[tier] = [estimate_gain(teacher, inputs, found, recipe, seed) for seed in seeds]
            took = (time.perf_counter() - start) / len(seeds)
            gains[tier] = gains[tier], took
        outcomes = distill_all(problem, [Member(s, recipe, derive(s, "ablation")) for s in seeds])
        with torch.no_grad():
            students = [problem.module(recipe.student, each.weights)(test) for each in outcomes]
        errors[tier] = float(np.mean([(each - answers).square().mean().sqrt() for each in students]))
    rows = []
    for before, after in pairwise(TIERS):
        estimates, took = gains[before]
        told = {key: float(np.mean([getattr(each, key) for each in estimates])) for key in ("share", "low", "high")}
        asked = max(each.teacher_rows for each in estimates)
        about = {"dataset": dataset, "next": after, **told, "seconds": took, "teacher_rows": asked}
        rows.append(about | {"measured": 1 - errors[after] / errors[before]})
    return rows


def needed(row: dict) -> float:
    """How much wider than the worlds' own an interval must be to hold the measured gain."""
    middle, low, true = (math.log1p(-row[key]) for key in ("share", "low", "measured"))
    return abs(true - middle) * WIDENED / (low - middle)


def widening(rows: list[dict]) -> float:
    """The least widening with which the share ``COVERED`` of the measured gains lies in the intervals."""
    return float(np.quantile([needed(row) for row in rows], COVERED, method="higher"))


def summary(rows: list[dict]) -> dict[str, float | int]:
    """How far the estimates are right."""
    left_out = 0
    for dataset in {row["dataset"] for row in rows}:
        least = widening([row for row in rows if row["dataset"] != dataset])
        left_out += sum(needed(row) <= least for row in rows if row["dataset"] == dataset)
    told, true = (np.array([row[key] for row in rows]) for key in ("share", "measured"))
    is_new = np.array([row["dataset"] in NEW for row in rows])
    return {
        "estimates": len(rows),
        "held": sum(needed(row) <= WIDENED for row in rows),
        "held_left_out": left_out,
        "held_unwidened": sum(needed(row) <= 1 for row in rows),
        "widening": round(widening(rows), 2),
        "rank_correlation": round(float(spearmanr(told, true).statistic), 2),
        "off_percent": round(100 * float(np.abs(told - true)[~is_new].mean())),
        "new_off_percent": round(100 * float(np.abs(told - true)[is_new].mean())),
        "thousand_rows": round(max(row["teacher_rows"] for row in rows) / 1_000),
    }


def entries(rows: list[dict], args: argparse.Namespace) -> dict[str, figures.Measured]:
    """What a run publishes; ``args`` has its seeds and steps."""
    shown: dict[str, list] = {}
    for row in rows:
        share, low, high, true = (round(100 * row[key]) for key in ("share", "low", "high", "measured"))
        shown.setdefault(row["dataset"], []).extend([f"{share} ({low} to {high})", true])
    return {
        "knowledge": figures.Measured(
            args.seeds, f"students of {args.steps:,} steps", shown, summary(rows), "T0, T3, T4"
        )
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--datasets", nargs="+", default=[*SHARED, *NEW])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    figures.add_option(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for dataset in args.datasets for row in measure(dataset, args.shared, args.seeds, args.steps)]
    sheet = Sheet(title="share of the error on real inputs that one more tier takes away")
    for column in ("table", "next tier", "estimate", "interval", "measured", "seconds"):
        sheet.add_column(column)
    for row in rows:
        cells = [f"{row['share']:.2f}", f"{row['low']:.2f} to {row['high']:.2f}", f"{row['measured']:.2f}"]
        sheet.add_row(row["dataset"], row["next"], *cells, f"{row['seconds']:.1f}")
    found = summary(rows)
    Console(width=110).print(sheet, found)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))
    if args.publish:
        figures.publish(entries(rows, args))


if __name__ == "__main__":
    main()
