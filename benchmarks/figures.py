"""The published figures: one YAML file that benchmarks write and that the README and the documentation show.

    python benchmarks/figures.py            print every figure, with its command

A benchmark that publishes calls ``record`` with the rows of its table, so that no number is typed twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_name("figures.yaml")
REQUIRED = ("command", "seeds", "budget", "tier", "unit")
OPTIONAL = ("machine", "digits", "columns", "rows", "values")
HEAD = FILE.read_text(encoding="utf-8").split("\n\n", 1)[0]

Figures = dict[str, dict[str, Any]]


def load(file: Path = FILE) -> Figures:
    """All entries by key.

    Raises:
        ValueError: an entry lacks a key, has an unknown one, or has a row that does not fit its columns.
    """
    figures = yaml.safe_load(file.read_text(encoding="utf-8"))
    for key, entry in figures.items():
        missing = [name for name in REQUIRED if name not in entry]
        unknown = [name for name in entry if name not in (*REQUIRED, *OPTIONAL)]
        if missing or unknown:
            raise ValueError(f"{file.name}: {key}: missing {missing}, unknown {unknown}")
        for name, cells in entry.get("rows", {}).items():
            if len(cells) != len(entry["columns"]):
                raise ValueError(f"{file.name}: {key}: {name}: {len(cells)} cells for {len(entry['columns'])} columns")
    return figures


def cell(value: Any, digits: int | None) -> str:
    """One cell as text: a number to ``digits`` decimals, a pair as mean ± deviation, text as it is."""
    if isinstance(value, list):
        return " ± ".join(cell(part, digits) for part in value)
    if isinstance(value, str) or digits is None:
        return str(value)
    return f"{value:.{digits}f}"


def cells(entry: Mapping[str, Any], row: str) -> list[str]:
    """The cells of a row as text, in the order of the columns."""
    values = entry["rows"][row]
    digits = entry.get("digits")
    per_column = digits if isinstance(digits, list) else [digits] * len(values)
    return [cell(value, places) for value, places in zip(values, per_column, strict=True)]


def table(entry: Mapping[str, Any]) -> str:
    """The table of an entry in Markdown."""
    head = ["", *entry["columns"]]
    lines = [head, ["---"] + ["---:"] * len(entry["columns"])]
    lines += [[name, *cells(entry, name)] for name in entry["rows"]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def source(entry: Mapping[str, Any]) -> str:
    """Where the numbers of an entry come from, as one Markdown paragraph."""
    seeds = ", ".join(map(str, entry["seeds"]))
    parts = [
        f"Unit: {entry['unit']}.",
        f"Budget: {entry['budget']}.",
        f"Seeds: {seeds}.",
        f"Metadata tier: {entry['tier']}.",
    ]
    if "machine" in entry:
        parts.append(f"Machine: {entry['machine']}.")
    return f"<small>{' '.join(parts)} Written by `{entry['command']}`.</small>"


def record(key: str, rows: Mapping[str, Sequence[Any]], values: Mapping[str, Any], file: Path = FILE) -> None:
    """Replace the numbers of an entry; rows and values that are not given stay.

    Raises:
        KeyError: there is no such entry, row or value: what a page shows is declared in the file first.
    """
    figures = load(file)
    entry = figures[key]
    for name, given in (("rows", rows), ("values", values)):
        for item, value in given.items():
            if item not in entry[name]:
                raise KeyError(f"{key}: {name}: {item}")
            entry[name][item] = list(value) if name == "rows" else value
    text = yaml.safe_dump(figures, allow_unicode=True, sort_keys=False, default_flow_style=None, width=150)
    file.write_text(f"{HEAD}\n\n{text}", encoding="utf-8")


def main() -> None:
    for key, entry in load().items():
        print(f"## {key}\n{entry['command']}")
        print(table(entry) if "rows" in entry else "", *entry.get("values", {}).items(), sep="\n")


if __name__ == "__main__":
    main()
