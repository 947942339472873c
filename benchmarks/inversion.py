"""Does it help to invert the moments of batch normalization? Rows of `inversion`, of `direct`, and of the prior alone, on real test inputs.

The teachers are networks of three layers of 256 units with batch normalization, one a table (`kinds.py`). Each is distilled over N(0, I),
and over the prior that is inferred from the same moments. The real test rows choose nothing.

    python benchmarks/inversion.py --shared ../shared --cache ~/.cache/dfkd-teachers --threads 1
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path

import figures
import numpy as np
import torch
from kinds import kept
from resumable import by_dataset, dataset_and_seed, measure_each
from rich.console import Console
from rich.table import Table as Sheet
from tables import SHARED

from dfkd_tune.generators.ascending.inversion import Inversion
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.prior_inference.batch_norm import infer
from dfkd_tune.recipes.presets import PAPER, RANDOM, ROUGH
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.training.distill import distill_all
from dfkd_tune.training.member import Member
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils.seeding import derive

KIND = "relu 3x256 batch norm"
WEIGHTS = (0.1, 1.0, 10.0)
"""Weights of the mismatch."""
PRIORS = {"N(0, I)": False, "inferred prior": True}
"""Prior in words -> whether it is inferred from batch normalization."""
REFERENCE = "`random`, N(0, I)"
VARIANTS: dict[str, Recipe] = {
    "`random`": RANDOM,
    "`paper`, which has `direct`": PAPER,
    **{f"`paper` with `inversion`, weight {w:g}": replace(PAPER, generator=Inversion(matching=w)) for w in WEIGHTS},
    "`rough`, which has `skewed`": ROUGH,
    "`rough` with `inversion`": replace(ROUGH, generator=Inversion()),
}


def measured(dataset: str, seed: int, args: argparse.Namespace) -> dict[str, float]:
    """Variant and prior -> RMSE on real test inputs."""
    arrays = np.load(args.shared / "data" / f"{dataset}.npz")
    test = torch.from_numpy(arrays["X"][arrays["test"]])
    teacher = load_teacher(str(kept(KIND, dataset, args.shared, args.cache, 0)))
    with torch.no_grad():
        answers = teacher(test)
    unknown, found = Inputs.unknown(test.shape[1]), {}
    for prior, inferred in PRIORS.items():
        inputs = infer(teacher, unknown) if inferred else unknown
        if inputs is None:
            raise RuntimeError(f"no prior was inferred from the teacher of {dataset}")
        problem = Problem(teacher, inputs, probe(teacher, inputs))
        limit = args.width * (problem.features + 2) + 1
        members = []
        for i, recipe in enumerate(VARIANTS.values()):
            width = recipe.student.widest(problem.columns, 1, limit)
            sized = replace(recipe.with_student(width=width), steps=args.steps)
            members.append(Member(i, sized, derive(seed, "inversion")))
        for name, outcome in zip(VARIANTS, distill_all(problem, members), strict=True):
            student = problem.module(outcome.recipe.student, outcome.weights)
            with torch.no_grad():
                found[f"{name}, {prior}"] = float((student(test) - answers).square().mean().sqrt())
    return found


def rows_of(found: Mapping[str, Mapping[str, float]]) -> dict[str, list[list[float]]]:
    """Row of the table -> mean and deviation over seeds for each dataset, and of the geometric mean.

    Args:
        found: dataset and seed -> variant -> RMSE.
    """
    cells = [*by_dataset(found).values()]
    base = np.array([np.mean([each[REFERENCE] for each in seeds]) for seeds in cells])
    rows = {}
    for name in next(iter(found.values())):
        ratios = np.array([[each[name] for each in seeds] for seeds in cells]) / base[:, None]
        by_seed = np.exp(np.log(ratios).mean(0))
        told = [[float(each.mean()), float(each.std())] for each in ratios]
        rows[name] = [*told, [float(by_seed.mean()), float(by_seed.std())]]
    return rows


def entries(found: Mapping[str, Mapping[str, float]], args: argparse.Namespace) -> dict[str, figures.Measured]:
    """What a run publishes."""
    return {"inversion": figures.Measured(args.seeds, f"{args.steps:,} steps", rows_of(found))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/dfkd-teachers").expanduser())
    parser.add_argument("--datasets", nargs="+", default=list(SHARED))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=6_000)
    parser.add_argument("--width", type=int, default=50)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path)
    figures.add_option(parser)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found = measure_each(
        product(args.datasets, args.seeds), dataset_and_seed, lambda cell: measured(*cell, args), args.json
    )
    sheet = Sheet(title=f"real RMSE over that of {REFERENCE}, {args.steps:,} steps, {len(args.seeds)} seeds")
    for column in ("", *args.datasets, "geometric mean"):
        sheet.add_column(column, justify="right" if column else "left")
    for name, cells in rows_of(found).items():
        sheet.add_row(name, *(f"{mean:.3f} ± {spread:.3f}" for mean, spread in cells))
    Console(width=150).print(sheet)
    if args.publish:
        figures.publish(entries(found, args))


if __name__ == "__main__":
    main()
