"""The table of a teacher's arguments or columns and its outputs, which ``check`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from dfkd_tune.study.prepare import Prepared

MOST_ROWS = 40
"""Largest number of arguments, columns and outputs that are listed."""


def signature_table(prepared: Prepared) -> Table | None:
    """Names, shapes and dtypes of what a teacher takes and returns, and what is declared; None if it takes bare rows."""
    from rich.markup import escape
    from rich.table import Table

    from dfkd_tune.inputs.summary import of_columns
    from dfkd_tune.layouts.signature import shape_in_words
    from dfkd_tune.teachers.data_frames import column_signature

    inputs, layout = prepared.inputs, prepared.inputs.layout
    if layout is not None:
        signature, places = layout.signature, layout.columns
    elif (found := column_signature(prepared.teacher, inputs)) is not None:
        signature = found
        places = {name: slice(i, i + 1) for i, name in enumerate(inputs.names)}
    else:
        return None
    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("", "name", "shape", "dtype", "declared"):
        shown.add_column(title, overflow="fold")
    rows = signature.table()
    if layout is None:  # the probe knows how many outputs there are, and nobody their names
        count = prepared.probe.outputs
        rows.append(("output", "output", shape_in_words((count,) if count > 1 else ()), "float64"))
    for kind, name, shape, dtype in rows[:MOST_ROWS]:
        words = ""
        if kind == "argument":
            words = of_columns(inputs, places[name])
            kind = kind if layout is not None else "column"
        shown.add_row(f"          {kind}", *map(escape, (name, shape, dtype, words)))
    if len(rows) > MOST_ROWS:
        shown.add_row("", f"and {len(rows) - MOST_ROWS} more", "", "", "")
    return shown
