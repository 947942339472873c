"""A certificate as one self-contained page: the answer first, no script, nothing fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .certificate import Certificate

TEMPLATE = Path(__file__).with_name("certificate.html.jinja")
LISTED = 24
"""Features of the worst input that are shown at once, those that moved most first; the others are folded away."""


def page(certificate: Certificate) -> str:
    """The certificate as HTML; whatever a name holds is escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": _number, "percent": _percent, "whole": lambda value: f"{value:,}"}
    c = certificate.as_dict()
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        c=c, name=_name(c["student"]), bars=_bars(c), moved=_moved(certificate), listed=LISTED
    )


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:.4g}"


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"


def _name(student: dict[str, Any]) -> str:
    study, trial = student.get("study"), student.get("trial")
    if study is None:
        return "the student"
    return f"{study}, trial {trial}" if trial is not None else str(study)


def _bars(c: dict[str, Any]) -> list[tuple[str, float, int]]:
    """Label, relative gap and length in percent of the longest."""
    gaps = c["report"]["relative_gaps"]
    rows = [
        ("half of the rows within", gaps["p50"]),
        ("95 % within", gaps["p95"]),
        ("99 % within", gaps["p99"]),
        ("largest measured", gaps["largest"]),
        ("worst found by attack", c["worst"]["relative_gap"]),
    ]
    longest = max(value for _, value in rows) or 1.0
    return [(label, value, round(100 * value / longest)) for label, value in rows]


def _moved(certificate: Certificate) -> list[tuple[str, float, float]]:
    """Feature, value in the prior row and value at the worst input, those that moved most first."""
    worst = certificate.worst
    names = sorted(worst.input, key=lambda name: -abs(worst.moved[name]))
    return [(name, worst.origin[name], worst.input[name]) for name in names]
