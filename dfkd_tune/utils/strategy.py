"""Strategies: frozen dataclasses whose fields are their YAML schema, validated on creation."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, dataclass_transform, get_type_hints

import numpy as np
import pydantic
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from dfkd_tune.errors import SpecError
from dfkd_tune.utils.plugins import Registry
from dfkd_tune.utils.quoting import named, quoted

C = TypeVar("C")


@dataclass_transform(frozen_default=True, field_specifiers=(Field,))
def strategy(kind: type[C]) -> type[C]:
    """Decorator: a frozen dataclass whose typed fields are checked on creation and are its YAML schema."""
    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
    return dataclass(frozen=True, config=config)(kind)  # pyright: ignore[reportReturnType]  # pydantic's stubs drop the class


MOST_RULE_CHARACTERS = 500
"""Longest rule in an error, in characters; a rule between fields may quote their values."""

UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")
"""Pydantic's types of errors for a key that is no field."""

Numbers = int | float | np.ndarray
"""A number or an array of numbers; a strategy returns the same shape."""


def build(kind: type, values: Mapping[str, Any], place: str, beside: Sequence[str] = ()) -> Any:
    """Create a strategy of class ``kind`` from plain values.

    Args:
        kind: class of the strategy.
        values: field -> plain value.
        place: name of the section, for messages.
        beside: other known keys of the section, for messages.

    Raises:
        SpecError: a value is invalid; the message names the field below ``place``, the rule and the value.
    """
    for key in values:
        if not isinstance(key, str):
            raise SpecError(place, f"a key must be a word, got {quoted(key)}")
    try:
        return kind(**_whole(kind, values))
    except pydantic.ValidationError as error:
        found = error.errors()
        first = next((each for each in found if each["type"] in UNKNOWN), found[0])  # a required key may be misspelled
        leaf = ".".join((place, *(named(part) for part in first["loc"])))
        if first["type"] in UNKNOWN:
            known = ", ".join((*beside, *(field.name for field in fields(kind)))) or "none"
            raise SpecError(leaf, "unknown key", remedy=f"known keys: {known}") from None
        if first["type"] in ("missing", "missing_argument"):
            raise SpecError(leaf, "required, but not given") from None
        message = first["msg"].removeprefix("Value error, ")[:MOST_RULE_CHARACTERS]
        # A rule between fields names them itself, and its input would be the whole mapping.
        given = f", got {quoted(first['input'])}" if first["loc"] else ""
        raise SpecError(leaf, f"{message[0].lower()}{message[1:]}{given}") from None


def _whole(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert whole floats such as 2e4 to int, for fields of type int."""
    whole = _whole_fields(kind)
    return {k: int(v) if k in whole and type(v) is float and v.is_integer() else v for k, v in values.items()}


@cache
def _whole_fields(kind: type) -> frozenset[str]:
    return frozenset(name for name, hint in get_type_hints(kind).items() if hint in (int, int | None))


def kind_of(registry: Mapping[str, type], name: object, place: str) -> type:
    """Look up a strategy class by its registry name.

    Raises:
        SpecError: the name is unknown; the message lists the known ones.
    """
    if not isinstance(name, str) or name not in registry:
        raise SpecError(place, f"unknown kind {quoted(name)}", remedy=f"known: {', '.join(registry)}")
    return registry[name]


def name_of(registry: Registry[type[C]], item: object) -> str:
    """The registry name of a strategy instance.

    Raises:
        ValueError: its class is not in the registry.
    """
    name = registry.name_of(type(item))
    if name is None:
        raise ValueError(f"{type(item).__name__} is none of {', '.join(registry)}")
    return name


def structure(item: object) -> tuple[object, ...]:
    """The class and all fields that are not floats; two strategies can share a batched pass only if these are equal."""
    assert is_dataclass(item)  # every strategy is one
    hints = get_type_hints(type(item))
    return (type(item).__name__, *(getattr(item, f.name) for f in fields(item) if hints[f.name] is not float))


class Stacked:
    """K strategies of one structure as a batch: floats become ``(K, 1, 1)`` tensors, other fields stay as they are."""

    def __init__(self, items: Sequence[object], like: Tensor) -> None:
        first = items[0]
        assert is_dataclass(first)  # every strategy is one
        hints = get_type_hints(type(first))
        for field in fields(first):
            values = [getattr(item, field.name) for item in items]
            setattr(
                self, field.name, like.new_tensor(values)[:, None, None] if hints[field.name] is float else values[0]
            )

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{type(self).__name__} has no {name!r}")

    def replaced(self, **changes: Any) -> Stacked:
        """Return a copy with other values."""
        other = copy.copy(self)
        vars(other).update(changes)
        return other

    def only(self, k: int) -> Stacked:
        """Return the hyper-parameters of member ``k`` as a batch of one."""
        other = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(other, name, value[k : k + 1])
        return other
