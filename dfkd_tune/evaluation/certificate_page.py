"""A certificate as one self-contained HTML page: the result first, no scripts, no external resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dfkd_tune.utils.text import html

if TYPE_CHECKING:  # a report shows certificates without PyTorch
    from dfkd_tune.evaluation.certificate import Certificate

SHOWN_FEATURES = 24
"""Features of the worst input shown without unfolding, those that moved most first."""


def page(certificate: Certificate) -> str:
    """The certificate as HTML; all names are escaped."""
    c = certificate.as_dict()
    values = {
        "c": c,
        "name": _name(c["student"]),
        "bars": bars(c),
        "moved": _moved(certificate),
        "listed": SHOWN_FEATURES,
    }
    return html.render("certificate.html.jinja", **values)


def _name(student: dict[str, Any]) -> str:
    study, trial = student.get("study"), student.get("trial")
    if study is None:
        return "the student"
    return f"{study}, trial {trial}" if trial is not None else str(study)


def bars(c: dict[str, Any]) -> list[tuple[str, float, int]]:
    """Bars that show the gaps: label, relative gap, and length in percent of the longest."""
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


def _moved(certificate: Certificate) -> list[tuple[str, str, str]]:
    """Feature, value in the prior row and value in the worst input; features that moved most first."""
    worst = certificate.worst
    names = sorted(worst.input, key=lambda name: -abs(worst.moved[name]))
    return [(name, _shown(worst.origin[name]), _shown(worst.input[name])) for name in names]


def _shown(value: float | str | None) -> str:
    """A raw value with enough digits to query it again; a large one, which may be a timestamp, with all digits."""
    if value is None:
        return "missing"
    if isinstance(value, str):
        return value
    return f"{value:.15g}" if abs(value) >= 1e8 else f"{value:.9g}"
