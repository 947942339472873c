"""Entries of a features file, from plain values to the classes that hold them."""

from __future__ import annotations

from typing import Any

from dfkd_tune.errors import FeaturesError, SpecError
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.utils.quoting import quoted
from dfkd_tune.utils.strategy import build


def feature(item: Any, place: str, kind: type[Feature] = Feature) -> Any:
    """A feature from an entry of a list: its name, or a mapping.

    Args:
        item: the entry; a feature is returned as it is.
        place: its place, for messages.
        kind: ``Feature``, or a class with further keys.

    Raises:
        FeaturesError: the entry is invalid; the message names the key and the rule.
    """
    if isinstance(item, kind):
        return item
    if isinstance(item, str):
        item = {"name": item}
    if not isinstance(item, dict):
        raise FeaturesError(place, f"must be a name or a mapping, got {quoted(item)}")
    return entry(kind, item, place)


def entry(kind: type, item: Any, place: str) -> Any:
    """A part of a features file as an instance of its class; arguments and errors are those of ``feature``."""
    if not isinstance(item, dict):
        raise FeaturesError(place, f"must be a mapping, got {quoted(item)}")
    item = {k: [float(v) if type(v) is int else v for v in x] if isinstance(x, list) else x for k, x in item.items()}
    levels = item.get("levels") if issubclass(kind, Feature) else None
    for i, level in enumerate(levels if isinstance(levels, list) else []):
        if not (level is None or isinstance(level, float | str)):
            rule = f"must be a number, a word or null, got {quoted(level)}"
            remedy = "quote what YAML takes for something else: 'yes', 'no', 'on', '2020-01-31'"
            raise FeaturesError(f"{place}.levels.{i}", rule, remedy=remedy)
    try:
        return build(kind, item, place)
    except SpecError as error:
        remedy = None if error.remedy == SpecError.NEXT else error.remedy
        raise FeaturesError(error.place, error.rule, remedy=remedy) from None
