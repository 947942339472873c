"""Fidelity on real test inputs: the preset `paper` and a study's best, for each shared teacher, beside the published figures.

Real rows are read here after everything was chosen, and choose nothing.

    python benchmarks/fidelity.py --shared ../shared --trials 30
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from dfkd_tune import registry, screen
from dfkd_tune.places import sqlite_url
from dfkd_tune.prepared import prepare
from dfkd_tune.spec import parse_spec
from dfkd_tune.study import run_study
from dfkd_tune.tracking import client

DATASETS = ("compactiv", "cpusmall", "mv", "pole", "puma32h")


def real_rmse(student: torch.nn.Module, teacher, x: np.ndarray) -> float:
    """RMSE student-vs-teacher on real rows, in the teacher's units."""
    rows = torch.from_numpy(x)
    with torch.no_grad():
        return float((student(rows) - teacher(rows)).square().mean().sqrt())


def one(dataset: str, args: argparse.Namespace, folder: Path, seed: int) -> dict:
    """A study on one teacher; returns the real-input RMSE of the preset and of the best trial."""
    table = np.load(Path(args.shared) / "data" / f"{dataset}.npz")
    x = table["X"][table["test"]]
    features = x.shape[1]
    architecture = folder / f"{dataset}.yaml"
    architecture.write_text(f"layers: [{features}, 500, 1]\nactivation: tanh\n")
    spec = parse_spec(
        {
            "study": {"name": f"{dataset}-{args.width}-{seed}", "trials": args.trials, "seed": seed},
            "teacher": {
                "path": str(Path(args.shared) / "teachers" / f"{dataset}.safetensors"),
                "architecture": str(architecture),
            },
            "student": {"max_parameters": args.width * (features + 2) + 1},
            "budget": {"steps": args.steps},
        },
        "fidelity",
    )
    prepared = prepare(spec)
    start = time.perf_counter()
    uri = sqlite_url(folder / "mlflow.db")
    with screen.watch(Console(stderr=True), spec.name) as on_progress:
        result = run_study(prepared, sqlite_url(folder / "optuna.db"), uri, on_progress)
    seconds = time.perf_counter() - start
    best, about, _ = registry.load_trial(uri, spec.name, None)
    made = client(uri)
    experiment = made.get_experiment_by_name(spec.name).experiment_id
    baseline = made.search_runs([experiment], "tags.`dfkd.kind` = 'baseline'")[0]
    with registry.fetch(uri, baseline.info.run_id) as files:
        paper, _ = registry.read_student(files)
    return {
        "dataset": dataset,
        "seed": seed,
        "paper": real_rmse(paper, prepared.teacher, x),
        "best": real_rmse(best, prepared.teacher, x),
        "selection": result.best[0],
        "trial": about["trial"],
        "parameters": about["parameters"],
        "seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", default="../shared", help="folder with data/, teachers/ and published.json")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument(
        "--width", type=int, default=50, help="the student has the parameters of this width, one hidden layer"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS))
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    published = json.loads((Path(args.shared) / "published.json").read_text())["rmse_student_vs_teacher"]["table"]
    with tempfile.TemporaryDirectory() as folder:
        rows = [one(dataset, args, Path(folder), seed) for dataset in args.datasets for seed in args.seeds]
    if args.json:
        args.json.write_text(json.dumps({"arguments": vars(args) | {"json": str(args.json)}, "rows": rows}, indent=1))
    table = Table(
        title=f"RMSE student-vs-teacher on real test inputs; width {args.width}, {args.trials} trials of {args.steps} steps, tier T0"
    )
    for column in (
        "dataset",
        "published random",
        "published direct",
        "preset paper",
        "study's best",
        "best / published direct",
        "seconds",
    ):
        table.add_column(column, justify="left" if column == "dataset" else "right")
    ratios = []
    for dataset in args.datasets:
        mine = [row for row in rows if row["dataset"] == dataset]
        paper, best, took = (np.array([row[key] for row in mine]) for key in ("paper", "best", "seconds"))
        anchor = published[dataset]
        ratios.append(best.mean() / anchor["direct_decreasing"])
        spread = f" ± {best.std():.4f}" if len(mine) > 1 else ""
        table.add_row(
            dataset,
            f"{anchor['random']:.4f}",
            f"{anchor['direct_decreasing']:.4f}",
            f"{paper.mean():.4f}",
            f"{best.mean():.4f}{spread}",
            f"{ratios[-1]:.2f}",
            f"{took.mean():.0f}",
        )
    Console(width=140).print(table)
    print(f"geometric mean of best / published direct: {np.exp(np.log(ratios).mean()):.3f}")


if __name__ == "__main__":
    main()
