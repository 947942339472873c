"""What more knowledge of the inputs would buy: as ``check`` estimates it, and as it was.

    python benchmarks/knowledge.py --shared ../shared --seeds 0

The estimate reads no real row. The measured gain is 1 minus the ratio of two RMSE on real test inputs: of the preset ``faithful`` with one
more tier declared, and without. Intervals are widened by one constant. ``left out`` says how many of them hold the measured gain if the
constant comes from the other tables.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import figures
import numpy as np
import torch
from ablation import known, sized
from rich.console import Console
from rich.table import Table as Sheet
from scipy.stats import spearmanr
from tables import SHARED, load, shared_split, shared_teacher

from dfkd_tune.evaluation.knowledge.estimate import WIDENED, estimate_gain
from dfkd_tune.recipes.presets import FAITHFUL
from dfkd_tune.teachers.probe import probe
from dfkd_tune.training.distill import distill_all
from dfkd_tune.training.member import Member
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils.seeding import derive

TIERS = ("none", "quantiles", "correlation", "mixture")
COVERED = 0.8
"""Share of the measured gains that the intervals should hold."""
ROUNDING = 1e-9


def measure(dataset: str, shared: Path, seeds: list[int], steps: int, real: bool) -> list[dict]:
    """The gain of each tier over the one before on one table, as estimated and as measured: a row a tier.

    Args:
        dataset, shared: name of the table, and the folder of all.
        seeds: seeds of estimates and students.
        steps: steps of a student.
        real: whether real inputs are read, for what the gain was.
    """
    table, split = load(dataset, shared), shared_split(dataset, shared)
    test, errors, gains = torch.from_numpy(table.x[split["test"]]), {}, {}
    with tempfile.TemporaryDirectory() as folder:
        teacher = shared_teacher(dataset, shared, Path(folder))
        declared = {tier: known(table, split, tier, Path(folder)) for tier in TIERS}
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
        if real:
            outcomes = distill_all(problem, [Member(s, recipe, derive(s, "ablation")) for s in seeds])
            with torch.no_grad():
                students = [problem.module(recipe.student, each.weights)(test) for each in outcomes]
            errors[tier] = float(np.mean([(each - answers).square().mean().sqrt() for each in students]))
    rows = []
    for before, after in zip(TIERS, TIERS[1:], strict=False):
        estimates, took = gains[before]
        told = {key: float(np.mean([getattr(each, key) for each in estimates])) for key in ("share", "low", "high")}
        asked = max(each.teacher_rows for each in estimates)
        about = {"dataset": dataset, "next": after, **told, "seconds": took, "teacher_rows": asked}
        rows.append(about | {"measured": 1 - errors[after] / errors[before] if real else math.nan})
    return rows


def needed(row: dict) -> float:
    """How much wider than the worlds' own the interval must be to hold the measured gain."""
    middle, low = math.log1p(-row["share"]), math.log1p(-row["low"])
    return abs(math.log1p(-row["measured"]) - middle) / max((low - middle) / WIDENED, ROUNDING)


def widening(rows: list[dict]) -> float:
    """The least widening with which the share ``COVERED`` of the measured gains lies in the intervals."""
    return float(np.quantile([needed(row) for row in rows], COVERED, method="higher"))


def summary(rows: list[dict]) -> dict[str, float | int]:
    """How far the estimates are right."""
    left_out = 0
    for dataset in {row["dataset"] for row in rows}:
        least = widening([row for row in rows if row["dataset"] != dataset])
        left_out += sum(needed(row) <= least + ROUNDING for row in rows if row["dataset"] == dataset)
    told, true = ([row[key] for row in rows] for key in ("share", "measured"))
    return {
        "estimates": len(rows),
        "held": sum(row["low"] <= row["measured"] <= row["high"] for row in rows),
        "held_left_out": left_out,
        "widening": round(widening(rows), 2),
        "rank_correlation": round(float(spearmanr(told, true).statistic), 2),
        "mean_error_percent": round(100 * float(np.mean(np.abs(np.subtract(told, true))))),
        "bias_percent": round(100 * float(np.mean(np.subtract(told, true)))),
        "thousand_rows": round(max(row["teacher_rows"] for row in rows) / 1_000),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--datasets", nargs="+", default=list(SHARED))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    figures.add_option(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for dataset in args.datasets for row in measure(dataset, args.shared, args.seeds, args.steps, True)]
    sheet = Sheet(title="share of the error on real inputs that one more tier takes away")
    for column in ("table", "next tier", "estimate", "interval", "measured", "seconds"):
        sheet.add_column(column)
    for row in rows:
        cells = [f"{row['share']:.2f}", f"{row['low']:.2f} to {row['high']:.2f}", f"{row['measured']:.2f}"]
        sheet.add_row(row["dataset"], row["next"], *cells, f"{row['seconds']:.1f}")
    Console(width=110).print(sheet, summary(rows))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))
    if args.publish:
        shown = {}
        for dataset in args.datasets:
            cells = [row for row in rows if row["dataset"] == dataset]
            shown[dataset] = [
                f"{100 * r['share']:.0f} ({100 * r['low']:.0f} to {100 * r['high']:.0f}), {100 * r['measured']:.0f}"
                for r in cells
            ]
        figures.publish(
            {"knowledge": figures.Measured(args.seeds, f"{args.steps:,} steps", shown, summary(rows), "T0, T3, T4")}
        )


if __name__ == "__main__":
    main()
