"""The published figures: one YAML file that benchmarks write and that the README and the documentation show.

    python benchmarks/figures.py            print every figure, with its command

A benchmark run with ``--publish`` gives ``publish`` what it measured, so that no number is typed twice. An entry that no
benchmark writes says why under ``by_hand``.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_name("figures.yaml")
REQUIRED = ("command", "seeds", "budget", "tier", "unit")
OPTIONAL = ("by_hand", "machine", "digits", "columns", "rows", "values")
OUTPUTS = ("--json", "--figure", "--out", "--tracking-uri")
"""Options that say where a run writes; they are no part of a published command."""

Figures = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Measured:
    """What a benchmark measured for one entry, and how.

    Args:
        seeds: seeds of the runs, or ranges of them in words.
        budget: size of a run, in words.
        rows: row of the table -> its cells.
        values: name of a single value -> number or text.
        tier: metadata tier of the inputs.
        machine: the machine, if the figures are times or sizes.
        open_rows: whether the rows differ from run to run; otherwise they must be those of the file.
    """

    seeds: Sequence[int | str]
    budget: str
    rows: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    tier: str = "T0"
    machine: str | None = None
    open_rows: bool = False


def load(file: Path = FILE) -> Figures:
    """All entries by key; raises as ``require_valid`` does."""
    figures = yaml.safe_load(file.read_text(encoding="utf-8"))
    require_valid(figures, file.name)
    return figures


def require_valid(figures: Figures, place: str) -> None:
    """Check the form of all entries.

    Raises:
        ValueError: an entry lacks a key, has an unknown one, or has a row that does not fit its columns.
    """
    for key, entry in figures.items():
        missing = [name for name in REQUIRED if name not in entry]
        unknown = [name for name in entry if name not in (*REQUIRED, *OPTIONAL)]
        if missing or unknown:
            raise ValueError(f"{place}: {key}: missing {missing}, unknown {unknown}")
        for name, cells in entry.get("rows", {}).items():
            if len(cells) != len(entry["columns"]):
                raise ValueError(f"{place}: {key}: {name}: {len(cells)} cells for {len(entry['columns'])} columns")


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
    parts.append(f"Written by `{entry['command']}`.")
    if "by_hand" in entry:
        parts[-1] = f"Entered by hand, from `{entry['command']}`: {entry['by_hand']}."
    return f"<small>{' '.join(parts)}</small>"


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--publish``."""
    parser.add_argument("--publish", action="store_true", help="write the figures into benchmarks/figures.yaml")


def publish(measured: Mapping[str, Measured], argv: Sequence[str] | None = None, file: Path = FILE) -> None:
    """Replace the numbers of entries, with the command, seeds, budget, tier and machine that they come from.

    Args:
        measured: key of an entry -> what was measured.
        argv: the command line; default: that of this process.
        file: the data file.

    Raises:
        ValueError: an entry, a row or a value is not declared in the file, or one that is declared is missing. What a page shows
            is declared first, and no entry mixes the numbers of two runs.
    """
    figures = load(file)
    for key, found in measured.items():
        if key not in figures:
            raise ValueError(f"{file.name}: {key}: there is no such entry")
        entry = figures[key]
        for name, given in (("rows", found.rows), ("values", found.values)):
            wrong = {*given} ^ {*entry.get(name, {})}
            if wrong and not (name == "rows" and found.open_rows):
                raise ValueError(
                    f"{file.name}: {key}: {name} {sorted(wrong)} are not in the file, or were not measured"
                )
            if given:
                entry[name] = {item: _plain(value) for item, value in given.items()}
        entry.pop("by_hand", None)
        entry |= {"command": command(argv or sys.argv), "seeds": [*found.seeds], "budget": found.budget}
        entry |= {"tier": found.tier} | ({} if found.machine is None else {"machine": found.machine})
    require_valid(figures, file.name)
    file.write_text(text(figures, file), encoding="utf-8")


def _plain(value: Any) -> Any:
    """A number, text or list as YAML holds it; six decimals are more than a page shows."""
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return [_plain(each) for each in value]
    return value if isinstance(value, int) else round(float(value), 6)


def command(argv: Sequence[str]) -> str:
    """A command line as it is published: without what only says where to write; a path of this machine is DIR."""
    words, kept = [*argv[1:]], ["python", f"benchmarks/{Path(argv[0]).name}"]
    while words:
        word = words.pop(0)
        if word in OUTPUTS:
            words.pop(0)
        elif word != "--publish":
            kept.append("DIR" if Path(word).exists() else word)
    return shlex.join(kept)


class _Lines(yaml.SafeDumper):
    """Writes a list in one line, so that a row of a table is a line, and a text of several lines as it is."""


def _list(dumper: yaml.SafeDumper, value: list[Any]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Lines.add_representer(list, _list)
_Lines.add_representer(str, _text)


def text(figures: Figures, file: Path = FILE) -> str:
    """The data file of these entries; its head stays."""
    head = file.read_text(encoding="utf-8").split("\n\n", 1)[0]
    options: dict[str, Any] = {"allow_unicode": True, "sort_keys": False, "default_flow_style": False, "width": 10_000}
    blocks = [yaml.dump({key: entry}, Dumper=_Lines, **options).rstrip() for key, entry in figures.items()]
    return "\n\n".join([head, *blocks]) + "\n"


def main() -> None:
    for key, entry in load().items():
        print(f"## {key}\n{entry['command']}")
        print(table(entry) if "rows" in entry else "", *entry.get("values", {}).items(), sep="\n")


if __name__ == "__main__":
    main()
