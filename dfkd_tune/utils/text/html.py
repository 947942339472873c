"""Self-contained HTML without scripts or external resources: pages from templates, and tables for the cells of a notebook."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent.parent.parent / "templates"
LEFT = "style='text-align:left'"
"""Notebooks align cells to the right."""


def render(template: str, **values: Any) -> str:
    """Render a template with values."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    """It keeps the templates that it has compiled."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=lambda name: name is None or name.endswith((".jinja", ".html")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "percent": percent,
        "code": code,
        "whole": lambda value: f"{value:,}",
    }
    return environment


def number(value: float | None) -> str:
    """Format a number with four digits; None is ``not known``."""
    return "not known" if value is None else f"{value:.4g}"


def percent(share: float) -> str:
    """Format a share in percent with three digits."""
    return f"{100 * share:.3g} %"


def code(text: str) -> Markup:
    """Mark words between backticks as code, and escape everything else."""
    safe = str(escape(text))  # of a Markup, re.sub would escape the tags, too
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", safe))


def table(rows: Iterable[Sequence[str]], head: Sequence[str] = ()) -> str:
    """Rows of texts as an HTML table. Without a head, the first cell of each row is its title."""
    lines = [_row(head, ["th"] * len(head))] if head else []
    lines += [_row(row, ["td" if head else "th", *["td"] * (len(row) - 1)]) for row in rows]
    return f"<table>{''.join(lines)}</table>"


def _row(cells: Sequence[str], tags: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag} {LEFT}>{escape(cell)}</{tag}>' for cell, tag in zip(cells, tags, strict=True))}</tr>"
