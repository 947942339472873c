"""The default study on teachers of other kinds: its student against the published method, on real test inputs.

    python benchmarks/teachers.py --shared ../shared --cache ~/.cache/dfkd-teachers --trials 20

Every study is a default one: nothing known of the inputs (tier T0), one hidden layer with at most the parameters of 50 units,
the default space and objective. The baseline is the preset ``paper``, or ``random`` for a black box, on standard normal inputs as
published, whatever the teacher recollects of its own; the mean of three runs. RMSE is student-vs-teacher
over rows and outputs, in the teacher's units; real test rows are read after everything was chosen, and choose nothing.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from itertools import product
from pathlib import Path

import figures
import numpy as np
import torch
from fidelity import geometric, real_rmse, student_of
from kinds import TEACHER_DEFAULTS, kept
from rich.console import Console
from rich.table import Table

from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.locations.paths import sqlite_url
from dfkd_tune.reporting import terminal_progress
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.recorded_recipes import recipe_of
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.prepare import prepare
from dfkd_tune.study.session import run_study
from dfkd_tune.training.distill import distill_all
from dfkd_tune.training.member import Member
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils.seeding import derive

BASELINES = 3
"""Runs of the baseline, whose RMSE differs by a fifth from seed to seed; their mean is what a study is held against."""
WIDTH = 50
"""Hidden units whose parameters limit the student."""


def one(kind: str, dataset: str, seed: int, args: argparse.Namespace, folder: Path) -> dict:
    """A study on one teacher; returns the RMSE of its baseline and of its student.

    Args:
        kind: kind of the teacher, of ``kinds.py``.
        dataset: name of its table.
        seed: of the teacher, the study and its baseline.
        args: folders, trials and steps.
        folder: where the study is kept.
    """
    file = kept(kind, dataset, args.shared, args.cache, seed)
    arrays = np.load(args.shared / "data" / f"{dataset}.npz")
    x = arrays["X"][arrays["test"]]
    features, outputs = x.shape[1], 3 if kind == "three outputs" else 1
    name = f"{file.stem}-{seed}"
    spec = parse_spec(
        {
            "study": {"name": name, "trials": args.trials, "seed": seed},
            "teacher": str(file),
            "student": {"max_parameters": WIDTH * (features + outputs + 1) + outputs},
            "budget": {"steps": args.steps},
        },
        "teachers",
    )
    prepared = prepare(spec, trust_pickle=True)  # of this benchmark's own making; skops does not know boosted trees
    uri, storage = sqlite_url(folder / f"{name}-mlflow.db"), sqlite_url(folder / f"{name}-optuna.db")
    start = time.perf_counter()
    with terminal_progress.watch(Console(stderr=True), name) as on_progress:
        result = run_study(prepared, storage, uri, on_progress)
    seconds = time.perf_counter() - start
    trials = {t.number: t for t in load_study(storage, name).get_trials() if t.state.name == "COMPLETE"}
    real = {n: real_rmse(student_of(uri, name, n), prepared.teacher, x) for n in trials}
    published = Problem(prepared.teacher, Inputs.unknown(features), prepared.probe, seed=seed)
    recipe = prepared.baseline()
    members = [Member(k, recipe, derive(seed, "baseline", k)) for k in range(BASELINES)]
    students = [published.module(recipe.student, outcome.weights) for outcome in distill_all(published, members)]
    baselines = [real_rmse(student, prepared.teacher, x) for student in students]
    baseline = float(np.mean(baselines))
    best = real_rmse(student_of(uri, name), prepared.teacher, x)
    return {
        "kind": kind,
        "dataset": dataset,
        "seed": seed,
        "differentiable": prepared.probe.differentiable,
        "baseline": baseline,
        "baselines": baselines,
        "own_baseline": real_rmse(student_of(uri, name, name="baseline"), prepared.teacher, x),
        "recollected": prepared.inputs.inferred is not None,
        "default": best,
        "ratio": best / baseline,
        "best_trial_in_hindsight": min(real.values()),
        "promoted": result.promoted.run,
        "recipe": recipe_of(trials[result.promoted.trial]).leaves(),
        "trials": [
            {"trial": n, "objective": t.value, "rmse": t.user_attrs["rmse"], "real": real[n]}
            | {"generator": recipe_of(t).leaves()["generator.kind"]}
            for n, t in trials.items()
        ],
        "seconds": seconds,
    }


def show(rows: list[dict], args: argparse.Namespace) -> None:
    """The table, the geometric mean of the ratios and the worst."""
    table = Table(
        title=f"RMSE student-vs-teacher on real test inputs: {args.trials} trials of {args.steps} steps, "
        f"tier T0, width {WIDTH}"
    )
    for column in (
        "teacher",
        "table",
        "seed",
        "baseline",
        "study's own baseline",
        "default study",
        "ratio",
        "best trial in hindsight",
        "seconds",
    ):
        table.add_column(column, justify="left" if column in ("teacher", "table") else "right")
    for row in rows:
        table.add_row(
            row["kind"] + ("" if row["differentiable"] else " (black box)"),
            row["dataset"],
            str(row["seed"]),
            *(f"{row[key]:.4f}" for key in ("baseline", "own_baseline", "default")),
            f"{row['ratio']:.2f}",
            f"{row['best_trial_in_hindsight']:.4f}",
            f"{row['seconds']:.0f}",
        )
    Console(width=150).print(table)
    ratios = np.array([row["ratio"] for row in rows])
    worst = rows[int(ratios.argmax())]
    print(f"geometric mean: {np.exp(np.log(ratios).mean()):.3f}; ", end="")
    print(f"worst: {ratios.max():.3f} ({worst['kind']}, {worst['dataset']})")


COLUMNS = (
    "average of five tanh",
    "tanh 1x2000",
    "relu 3x256 batch norm",
    "three outputs",
    "boosted trees",
    "gaussian process",
)
"""Kinds of ``kinds.py`` in the order of the published columns."""
DEEP_OR_BLACK_BOX = COLUMNS[2:]


def entries(rows: list[dict], args: argparse.Namespace) -> dict[str, figures.Measured]:
    """What a run publishes: the mean ratio of the studies on each teacher over the seeds.

    Args:
        rows: what ``one`` returned, for every kind, dataset and seed.
        args: datasets, seeds, trials and steps.
    """
    per = {
        pair: [row for row in rows if (row["kind"], row["dataset"]) == pair] for pair in product(COLUMNS, args.datasets)
    }
    ratio = {pair: float(np.mean([row["ratio"] for row in found])) for pair, found in per.items()}
    lower = [100 * (1 - each) for (kind, _), each in ratio.items() if kind in DEEP_OR_BLACK_BOX]
    table = {name: [_cell(per[kind, name]) for kind in COLUMNS] for name in args.datasets}
    values = {
        "geometric_mean": round(geometric([*ratio.values()]), 2),
        "worst": round(max(ratio.values()), 2),
        "deep_and_black_box": f"{min(lower):.0f} to {max(lower):.0f}",
    }
    budget = f"{args.trials} trials, finished students of {args.steps:,} steps"
    return {"teachers": figures.Measured(args.seeds, budget, table, values)}


def _cell(rows: list[dict]) -> str:
    """Mean and deviation of the studies' ratios over the seeds, and in parentheses the mean ratio of their best trials."""
    ratios = [row["ratio"] for row in rows]
    best = np.mean([row["best_trial_in_hindsight"] / row["baseline"] for row in rows])
    return f"{np.mean(ratios):.2f} ± {np.std(ratios):.2f} ({best:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with data/")
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps the trained teachers")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--kinds", nargs="+", choices=TEACHER_DEFAULTS, default=list(TEACHER_DEFAULTS))
    parser.add_argument("--datasets", nargs="+", default=["compactiv", "pole"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the teachers and the studies")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    figures.add_option(parser)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.filterwarnings("ignore", category=UserWarning)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for seed, kind, dataset in product(args.seeds, args.kinds, args.datasets):
            rows.append(one(kind, dataset, seed, args, Path(folder)))
            show(rows, args)
            if args.json:
                about = {key: str(value) for key, value in vars(args).items()}
                args.json.write_text(json.dumps({"arguments": about, "rows": rows}, indent=1))
    if args.publish:
        figures.publish(entries(rows, args))


if __name__ == "__main__":
    main()
