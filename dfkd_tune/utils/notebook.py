"""Small HTML tables for the cells of a notebook; they need no style sheet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

LEFT = "style='text-align:left'"
"""Notebooks align cells to the right."""


def table(rows: Iterable[Sequence[str]], head: Sequence[str] = ()) -> str:
    """Rows of texts as an HTML table. Without a head, the first cell of each row is its title."""
    lines = [_row(head, ["th"] * len(head))] if head else []
    lines += [_row(row, ["td" if head else "th", *["td"] * (len(row) - 1)]) for row in rows]
    return f"<table>{''.join(lines)}</table>"


def _row(cells: Sequence[str], tags: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag} {LEFT}>{escape(cell)}</{tag}>' for cell, tag in zip(cells, tags, strict=True))}</tr>"
