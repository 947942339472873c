"""Cells of a benchmark, each kept in a file once it is measured: a benchmark that was stopped goes on with the next one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

Cell = TypeVar("Cell")

LONGEST_LINE = 300
"""Characters of a result that are printed."""


def dataset_and_seed(cell: tuple[str, int]) -> str:
    """Name of a cell of one dataset and seed."""
    return "{}|{}".format(*cell)


def by_dataset(found: Mapping[str, Cell]) -> dict[str, list[Cell]]:
    """The results of such cells: dataset -> those of its seeds, in the order in which they were measured."""
    grouped: dict[str, list[Cell]] = {}
    for name, result in found.items():
        grouped.setdefault(name.split("|")[0], []).append(result)
    return grouped


def measure_each(
    cells: Iterable[Cell], key: Callable[[Cell], str], measure: Callable[[Cell], Any], file: Path | None
) -> dict[str, Any]:
    """Measure the cells that the file lacks; returns all that it holds, by key.

    Args:
        cells: what to measure, in this order.
        key: name of a cell in the file.
        measure: measures a cell; returns what JSON can hold.
        file: where the results are kept; None to keep none.
    """
    found = json.loads(file.read_text()) if file and file.exists() else {}
    for cell in cells:
        if (name := key(cell)) in found:
            continue
        found[name] = measure(cell)
        print(f"{name}: {found[name]}"[:LONGEST_LINE], flush=True)
        if file:
            file.write_text(json.dumps(found, indent=1))
    return found
