"""Self-contained pages from the package's templates: no script, nothing fetched, whatever a name holds escaped."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

TEMPLATES = Path(__file__).parent.parent / "templates"


def render(template: str, **values: Any) -> str:
    """A page from a template and its values."""
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
    return environment.get_template(template).render(values)


def number(value: float | None) -> str:
    """Four digits, or that it is not known."""
    return "not known" if value is None else f"{value:.4g}"


def percent(share: float) -> str:
    """A share in percent, three digits."""
    return f"{100 * share:.3g} %"


def code(text: str) -> Markup:
    """A sentence whose words between backticks are code; all else is escaped."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text)))
