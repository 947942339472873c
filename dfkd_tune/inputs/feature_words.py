"""What is declared of one feature, and what a tier means, in words and as a table for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from dfkd_tune.inputs.feature import Feature
from dfkd_tune.utils.text.html import table

TIERS = {
    "T0": "nothing is known of the inputs; every feature is taken to be standard normal and independent of the others",
    "T2": "means, standard deviations, ranges or levels of features are known, but nothing of how features go together",
    "T3": "quantiles of features are known, but nothing of how features go together",
    "T4": "it is known how features go together, beside what is declared of each",
}
"""Tier -> its meaning."""
MOST_VALUES = 12
"""Largest number of values that are listed."""
MOST_ROWS = 24
"""Largest number of features in a table."""


def of_feature(feature: Feature) -> str:
    """Describe the declaration of one feature, in raw units."""
    said = [] if feature.unit is None else [f"in {feature.unit}"]
    if feature.mean is not None:
        said.append(f"mean {feature.mean:g}, standard deviation {feature.std:g}")
    if feature.range is not None:
        said.append(f"between {feature.range[0]:g} and {feature.range[1]:g}")
    if feature.levels is not None:
        levels = ["a missing value" if level is None else level for level in feature.levels]
        said.append(f"one of {_listed(levels)}" + (", in no order" if feature.one_hot else ""))
    if feature.probabilities is not None:
        said.append(f"with probabilities {_listed(feature.probabilities)}")
    if feature.quantiles is not None:
        said.append("quantiles " + _listed([f"{100 * p:g} %: {value:g}" for p, value in feature.quantiles.items()]))
    if feature.integer:
        said.append("whole numbers")
    if feature.missing is not None:
        said.append(f"missing with probability {feature.missing:g}")
    return ", ".join(said) or "nothing"


def as_table(tier: str, named: Sequence[tuple[str, Feature]], further: Iterable[tuple[Sequence[str], str]]) -> str:
    """Features with what is declared of each, and the tier, as a small HTML table.

    Args:
        tier: tier of all that is declared.
        named: name and declaration of each row.
        further: names of features and what is known of them together.
    """
    rows = [(name, of_feature(feature)) for name, feature in named[:MOST_ROWS]]
    if rest := len(named) - len(rows):
        rows.append((f"and {rest:,} more", ""))
    rows += [
        (", ".join(names) if len(names) < MOST_VALUES else f"{len(names):,} features", words)
        for names, words in further
    ]
    return f"<p>Tier {escape(tier)}: {escape(TIERS[tier])}.</p>{table(rows, ('feature', 'known'))}"


def _listed(values: Sequence[Any]) -> str:
    words = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
    rest = len(words) - MOST_VALUES
    return ", ".join(words) if rest <= 0 else f"{', '.join(words[:MOST_VALUES])} and {rest} more"
