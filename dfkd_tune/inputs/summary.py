"""Describe the declared inputs in words, for reports and the terminal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dfkd_tune.inputs.feature_words import TIERS, of_feature
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.layouts.axes import CHANNELS, STEPS

MOST_DESCRIBED = 100
"""Largest number of features that a student's files describe."""


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
    for name, feature in inputs.declarations:
        groups.setdefault(of_feature(feature), []).append(name)
    said = [{"features": names, "declared": words} for words, names in groups.items()]
    return said + [{"features": names, "declared": words} for names, words in inputs.together]


def in_short(inputs: Inputs) -> dict[str, dict[str, str]]:
    """Unit and declared values of the first features that have them, for the description of a student's columns."""
    declared = inputs if inputs.inferred is None else inputs.inferred.declared
    found = {}
    for feature in declared.features[:MOST_DESCRIBED]:
        plain = replace(feature, unit=None, missing=None)
        told = {} if feature.unit is None else {"unit": feature.unit}
        told |= {"values": of_feature(plain)} if plain.known or plain.integer else {}
        if told:
            found[feature.name] = told
    return found


def of_columns(inputs: Inputs, columns: slice) -> str:
    """Describe in short the declaration of the columns of an argument."""
    axes = next((axes for axes in inputs.axes if axes.start == columns.start), None)
    if axes is not None and axes.kind == "window":
        channels = axes.size(CHANNELS)
        return f"{axes.size(STEPS)} steps of {channels} channel{'s' if channels > 1 else ''}"
    said = {of_feature(feature) for feature in inputs.features[columns]}
    return said.pop() if len(said) == 1 else "each value by itself"
