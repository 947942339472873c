"""`dfkd-tune evaluate` on the shared tables: it reproduces the real RMSE that the fidelity table is made of, student by student.

    python benchmarks/evaluated.py --shared ../shared --publish

The studies are short, because the students need not be good: both figures are of the same ones.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import fidelity
import figures
import numpy as np
import pandas as pd

from dfkd_tune.locations.paths import sqlite_url

KEY = "evaluated"
TRIALS, STEPS, SEED, WIDTH = 2, 500, 0, 50


def one(dataset: str, shared: str, folder: Path) -> tuple[float, float]:
    """RMSE of a study's student on the test rows of a table: as the fidelity benchmark computes it, and as ``evaluate`` prints it."""
    about = {"shared": shared, "tier": "none", "width": WIDTH, "trials": TRIALS, "steps": STEPS}
    row = fidelity.one(dataset, argparse.Namespace(**about), folder, SEED)
    table, file = np.load(Path(shared) / "data" / f"{dataset}.npz"), folder / f"{dataset}.parquet"
    x = table["X"][table["test"]]
    pd.DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])]).to_parquet(file)
    given = ["--data", str(file), "--json", "--tracking-uri", sqlite_url(folder / "mlflow.db")]
    command = [sys.executable, "-m", "dfkd_tune", "evaluate", f"{dataset}-{WIDTH}-{SEED}", *given]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return row["best"], json.loads(said.stdout)["rmse"]


def entries(rows: dict[str, tuple[float, float]]) -> dict[str, figures.Measured]:
    """What is published.

    Args:
        rows: table -> RMSE of the fidelity benchmark and of ``evaluate``.
    """
    apart = max(abs(ours / theirs - 1) for theirs, ours in rows.values())
    values = {"largest_difference": f"{apart:.0e}"}
    table = {name: list(both) for name, both in rows.items()}
    return {KEY: figures.Measured([SEED], f"{TRIALS} trials of {STEPS:,} steps", table, values)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", required=True)
    figures.add_option(parser)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = {name: one(name, args.shared, Path(folder)) for name in fidelity.DATASETS}
    found = entries(rows)
    for name, both in rows.items():
        print(name, *both)
    print(found[KEY].values, flush=True)
    if args.publish:
        figures.publish(found)


if __name__ == "__main__":
    main()
