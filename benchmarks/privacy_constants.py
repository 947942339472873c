"""Leave one dataset out of the constants of `describe --epsilon`: would the other tables have chosen differently?

Each constant is changed alone. A setting's error is the real RMSE of one run of the preset `faithful` that knows the private description,
over the published direct optimization. For each table, the setting with the least geometric mean over the *other* tables is used, so that
no table chooses for itself. The real test rows choose nothing that is shipped.

    python benchmarks/privacy_constants.py --shared ../shared --threads 1
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from types import ModuleType

import figures
import numpy as np
import torch
from privacy import geometric, one
from resumable import by_dataset, dataset_and_seed, measure_each
from rich.console import Console
from rich.table import Table as Sheet
from tables import SHARED, declared_privately, load, shared_split

from dfkd_tune.tables.private import correlations, describe, quantiles, tree

SHIPPED, CHOSEN = "as shipped", "as the other tables choose"
CONSTANTS: dict[str, tuple[ModuleType, str, tuple[float, ...]]] = {
    "share of the budget for quantiles": (describe, "OF_SHARES", (0.5, 0.85)),
    "clipped norm of the scores": (correlations, "CLIP", (1.1, 2.0)),
    "least count of a child": (tree, "LEAST", (1.0, 4.0)),
    "rows spread evenly": (tree, "SPREAD", (0.0, 0.03)),
    "share of an atom": (quantiles, "OUTSTANDING", (2.5, 10.0)),
}
"""What a constant says -> where it is, its name, and the values beside the one that is shipped."""


def settings() -> Iterator[tuple[str, ModuleType, str, float]]:
    """Name of each setting with another value, and the constant that it changes."""
    for words, (module, name, values) in CONSTANTS.items():
        for value in values:
            yield f"{words}: {value:g} (shipped {getattr(module, name):g})", module, name, value


@contextmanager
def changed(module: ModuleType, name: str, value: float) -> Iterator[None]:
    """A constant with another value, for a while."""
    shipped = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, shipped)


def measured(dataset: str, args: argparse.Namespace, seed: int) -> dict[str, float]:
    """Setting -> ratio to the published method."""
    published = json.loads((args.shared / "published.json").read_text())["rmse_student_vs_teacher"]["table"]
    rows = load(dataset, args.shared, None).x[shared_split(dataset, args.shared)["train"]]
    with tempfile.TemporaryDirectory() as each:
        folder = Path(each)
        files = {SHIPPED: declared_privately(rows, args.epsilon, args.width, folder / "shipped.yaml")}
        for i, (words, *constant) in enumerate(settings()):
            with changed(*constant):
                files[words] = declared_privately(rows, args.epsilon, args.width, folder / f"{i}.yaml")
        return {
            words: one(dataset, args.shared, file, seed, args.steps, folder) / published[dataset]["direct_decreasing"]
            for words, file in files.items()
        }


def left_out(ratios: np.ndarray) -> np.ndarray:
    """Ratio ``(datasets,)`` of each table under the setting that the other tables choose; from ``(settings, datasets)``."""
    others = [np.delete(np.log(ratios), j, axis=1).mean(1).argmin() for j in range(ratios.shape[1])]
    return ratios[others, range(ratios.shape[1])]


def table_of(found: Mapping[str, dict[str, float]]) -> tuple[list[str], np.ndarray]:
    """Settings, and their mean ratios over the seeds ``(settings, datasets)``."""
    names, cells = [*next(iter(found.values()))], by_dataset(found).values()
    return names, np.array([[np.mean([each[name] for each in seeds]) for seeds in cells] for name in names])


def rows_of(names: list[str], ratios: np.ndarray) -> dict[str, list[float]]:
    """Row of the table -> ratios with their geometric mean; the last row is what the other tables would choose."""
    told = {name: each for name, each in zip(names, ratios, strict=True)} | {CHOSEN: left_out(ratios)}
    return {name: [*each.tolist(), geometric(each)] for name, each in told.items()}


def entries(found: Mapping[str, dict[str, float]], args: argparse.Namespace) -> dict[str, figures.Measured]:
    """What a run publishes."""
    budget = f"one run of {args.steps:,} steps"
    return {"privacy_constants": figures.Measured(args.seeds, budget, rows_of(*table_of(found)), tier="T4")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--datasets", nargs="+", default=list(SHARED))
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument("--width", type=float, default=1.5, help="of the ranges, in those of the rows")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--steps", type=int, default=2_500)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path)
    figures.add_option(parser)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found = measure_each(
        product(args.datasets, args.seeds),
        dataset_and_seed,
        lambda cell: measured(cell[0], args, cell[1]),
        args.json,
    )
    rows = rows_of(*table_of(found))
    sheet = Sheet(title=f"real RMSE over published direct, epsilon {args.epsilon:g}, {args.steps} steps")
    for column in ("setting", *args.datasets, "geometric mean"):
        sheet.add_column(column)
    for name, each in rows.items():
        sheet.add_row(name, *(f"{value:.3f}" for value in each))
    Console(width=150).print(sheet)
    if args.publish:
        figures.publish(entries(found, args))


if __name__ == "__main__":
    main()
