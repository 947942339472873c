"""Fidelity against the total number of teacher queries: teachers as black boxes, RMSE on real test inputs.

    python benchmarks/queries.py --shared ../shared --cache ~/.cache/dfkd-teachers --totals 500 2000 5000

Ours is a default study with ``budget.total_queries``, and the same with ``generator.kind: sobol``, which asks all rows of the prior.
*Plain sampling* trains the same student with the same optimizer without decay on that many prior rows, its early stopping besides.
*Without a total* is the default study of a black box, with the rows that it asks. Nothing is known
of the inputs (tier T0). The real test rows are read after everything was chosen, and choose nothing.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path

import figures
import numpy as np
import torch
from fidelity import real_rmse, student_of
from kinds import kept
from rich.console import Console
from rich.table import Table

from dfkd_tune.locations.paths import sqlite_url
from dfkd_tune.recipes.mixing import Constant
from dfkd_tune.recipes.presets import BLACK_BOX
from dfkd_tune.search.attributes import StudyRecord
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.prepare import prepare
from dfkd_tune.study.session import run_study
from dfkd_tune.teachers.base import Teacher, outputs_alone
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.metering.meter import Meter, metered
from dfkd_tune.tracking.run_lookup import parent_run
from dfkd_tune.training.distill import distill
from dfkd_tune.training.problem import Problem

KINDS = {"boosted trees": "trees", "gaussian process": "process", "relu 3x256 batch norm": "ReLU"}
"""Teachers of ``kinds.py`` -> their short names."""
WIDTH = 50
"""Hidden units whose parameters limit the student."""
STOPPING_ROWS = 200
"""Prior rows besides, by which plain sampling keeps its best weights."""


def black_box(file: Path, counted: bool) -> Teacher:
    """A teacher that is asked for outputs alone, and whose trees or layers nobody reads."""
    with metered(Meter() if counted else None):
        return replace(outputs_alone(load_teacher(file, trust_pickle=True)), estimator=None)


def study(file: Path, name: str, total: int | None, args: argparse.Namespace, folder: Path, **more) -> dict:
    """A study; returns the rows that it asked and the RMSE of its student on real test inputs."""
    dataset = file.name.split("-")[0]
    x = np.load(args.shared / "data" / f"{dataset}.npz")
    x, features = x["X"][x["test"]], x["X"].shape[1]
    budget = {"steps": args.steps} | ({} if total is None else {"total_queries": total})
    tree = {
        "study": {"name": name, "trials": args.trials, "seed": args.seed},
        "teacher": str(file),
        "student": {"max_parameters": WIDTH * (features + 2) + 1},
        "budget": budget,
    }
    uri, storage = sqlite_url(folder / "mlflow.db"), sqlite_url(folder / f"{name}.db")
    start = time.perf_counter()
    given = black_box(file, total is not None)
    prepared = prepare(parse_spec(tree | more, "queries"), teacher=given, storage_url=storage)
    result = run_study(prepared, storage, uri)
    record = StudyRecord.of(load_study(storage, name))
    counted = parent_run(uri, name).data.metrics
    asked = sum(record.queries.values()) or int(
        counted["study/shared_teacher_rows"] + counted["study/trial_teacher_rows"]
    )
    real = real_rmse(student_of(uri, name, name=result.promoted.run), load_teacher(file, trust_pickle=True), x)
    return {"rows": asked, "real": real, "seconds": time.perf_counter() - start, "promoted": result.promoted.run}


def plain(file: Path, rows: int, args: argparse.Namespace) -> dict:
    """Plain sampling of ``rows`` prior rows, with the student and the optimizer of the preset ``black_box``."""
    dataset = file.name.split("-")[0]
    x = np.load(args.shared / "data" / f"{dataset}.npz")
    x, features = x["X"][x["test"]], x["X"].shape[1]
    spec = parse_spec({"teacher": str(file), "student": {"max_parameters": WIDTH * (features + 2) + 1}}, "queries")
    prepared = prepare(spec, teacher=black_box(file, False))
    problem = Problem(
        prepared.teacher, prepared.inputs, prepared.probe, seed=args.seed, pool_rows=rows, bank_rows=STOPPING_ROWS
    )
    recipe = replace(BLACK_BOX, alpha=Constant(0.0), student=prepared.space.preset.student, steps=args.steps)
    outcome = distill(problem, recipe, args.seed)
    student = problem.module(recipe.student, outcome.weights)
    return {"rows": rows, "real": real_rmse(student, load_teacher(file, trust_pickle=True), x)}


def one(kind: str, dataset: str, args: argparse.Namespace, folder: Path) -> dict:
    """All measurements of one teacher: name of the method -> total -> result."""
    file = kept(kind, dataset, args.shared, args.cache, args.seed)
    stem, found = file.stem, {"ours": {}, "ours, sobol": {}, "plain sampling": {}}
    for total in args.totals:
        found["plain sampling"][total] = plain(file, total, args)
        found["ours"][total] = study(file, f"{stem}-{total}", total, args, folder)
        if not args.no_sobol:
            generator = {"generator": {"kind": "sobol"}}
            found["ours, sobol"][total] = study(file, f"{stem}-{total}-sobol", total, args, folder, **generator)
    for rows in args.plain:
        found["plain sampling"][rows] = plain(file, rows, args)
    if not args.no_unlimited:
        found["without a total"] = {0: study(file, f"{stem}-free", None, args, folder)}
    return {"kind": kind, "dataset": dataset, "found": found}


def show(rows: list[dict]) -> None:
    """The table of all teachers so far."""
    table = Table(title="RMSE on real test inputs against teacher rows")
    for column in ("teacher", "table", "method", "rows", "RMSE"):
        table.add_column(column)
    for row in rows:
        for method, by_total in row["found"].items():
            for one in by_total.values():
                table.add_row(row["kind"], row["dataset"], method, f"{one['rows']:,}", f"{one['real']:.4f}")
    Console(width=120).print(table)


def entries(rows: list[dict], args: argparse.Namespace) -> dict[str, figures.Measured]:
    """What a run publishes: for each teacher and method, the rows that were asked and the RMSE."""
    table = {}
    for row in rows:
        for method, by_total in row["found"].items():
            for one in by_total.values():
                name = f"{KINDS[row['kind']]}, {row['dataset']}: {method}, {one['rows']:,} rows"
                table[name] = [f"{one['real']:.3f}"]
    budget = f"{args.trials} trials of {args.steps:,} steps"
    return {"queries": figures.Measured([args.seed], budget, table, open_rows=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with data/")
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps the trained teachers")
    parser.add_argument("--totals", nargs="+", type=int, default=[500, 1_000, 2_000, 5_000, 10_000, 50_000])
    parser.add_argument("--plain", nargs="*", type=int, default=[], help="further numbers of plainly sampled rows")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--datasets", nargs="+", default=["compactiv", "pole"])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0, help="of the teachers and the studies")
    parser.add_argument("--no-unlimited", action="store_true", help="without the study that has no total")
    parser.add_argument("--no-sobol", action="store_true", help="without the study that asks rows of the prior alone")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    figures.add_option(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=UserWarning)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in args.kinds:
            for dataset in args.datasets:
                rows.append(one(kind, dataset, args, Path(folder)))
                show(rows)
                if args.json:
                    about = {key: str(value) for key, value in vars(args).items()}
                    args.json.write_text(json.dumps({"arguments": about, "rows": rows}, indent=1))
    if args.publish:
        figures.publish(entries(rows, args))


if __name__ == "__main__":
    main()
