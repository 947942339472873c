"""Describe the declared inputs in words, for reports and the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.layouts.axes import CHANNELS, STEPS

TIERS = {
    "T0": "nothing is known of the inputs; every feature is taken to be standard normal and independent of the others",
    "T2": "means, standard deviations, ranges or levels of features are known, but nothing of how features go together",
    "T3": "quantiles of features are known, but nothing of how features go together",
    "T4": "it is known how features go together, beside what is declared of each",
}
"""Tier -> its meaning."""
MOST_VALUES = 12
"""Largest number of values that are listed."""


def meaning(inputs: Inputs) -> str:
    """Say in one sentence what is known about the inputs."""
    words = TIERS.get(inputs.tier, "what is declared of the inputs is listed below")
    if inputs.inferred is None:
        return words
    declared = "nothing is declared of the inputs" if inputs.tier == "T0" else words
    return f"{declared}; {inputs.inferred.told}"


def in_words(inputs: Inputs) -> list[dict[str, Any]]:
    """Group features by declaration, as ``{"features": [names], "declared": words}``; an inferred prior is last."""
    if inputs.inferred is not None:
        told = {"features": inputs.names, "declared": inputs.inferred.told}
        return [*in_words(inputs.inferred.declared), told]
    groups: dict[str, list[str]] = {}
    for name, feature in _named(inputs):
        groups.setdefault(of_feature(feature), []).append(name)
    said = [{"features": names, "declared": words} for words, names in groups.items()]
    if inputs.simplex:
        names = [inputs.names[i] for i in inputs.simplex]
        said.append({"features": names, "declared": "shares of a whole: none negative, together 1"})
    together = [] if inputs.dependence is None else inputs.dependence.in_words(inputs.names)
    return said + [{"features": names, "declared": words} for names, words in together]


def of_feature(feature: Feature) -> str:
    """Describe the declaration of one feature, in raw units."""
    said = []
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


def of_columns(inputs: Inputs, columns: slice) -> str:
    """Describe in short the declaration of the columns of an argument."""
    axes = next((axes for axes in inputs.axes if axes.start == columns.start), None)
    if axes is not None and axes.kind == "window":
        channels = axes.size(CHANNELS)
        return f"{axes.size(STEPS)} steps of {channels} channel{'s' if channels > 1 else ''}"
    said = {of_feature(feature) for feature in inputs.features[columns]}
    return said.pop() if len(said) == 1 else "each value by itself"


def _named(inputs: Inputs) -> list[tuple[str, Feature]]:
    """Each feature with its name; a channel of a window is named once, by its first and last step."""
    names = [[inputs.names[group[0]], *([inputs.names[group[-1]]] if len(group) > 1 else [])] for group in inputs.alike]
    return [(" to ".join(ends), inputs.features[group[0]]) for ends, group in zip(names, inputs.alike, strict=True)]


def _listed(values: Sequence[Any]) -> str:
    words = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
    rest = len(words) - MOST_VALUES
    return ", ".join(words) if rest <= 0 else f"{', '.join(words[:MOST_VALUES])} and {rest} more"
