"""Kinds of arguments, checked before anything is done with them. What a study file has as well, its own models check."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dfkd_tune.errors import SpecError
from dfkd_tune.utils.quoting import quoted


@dataclass(frozen=True)
class Kind:
    """What an argument may be: in words, and as a test of its value."""

    words: str
    fits: Callable[[Any], bool]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


TEXT = Kind("a text", lambda value: isinstance(value, str))
PATH = Kind("a path", lambda value: isinstance(value, str | os.PathLike) and str(value) not in ("", "."))
MAPPING = Kind(
    "a mapping with texts as keys", lambda v: isinstance(v, Mapping) and all(isinstance(key, str) for key in v)
)
COUNT = Kind("a whole number from 1", lambda value: _is_whole(value) and value >= 1)
NUMBER = Kind("a whole number from 0", lambda value: _is_whole(value) and value >= 0)
SHARE = Kind(
    "a number from 0, such as 0.05",
    lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf,
)
FLAG = Kind("True or False", lambda value: isinstance(value, bool))
FUNCTION = Kind("a function", callable)
NAMES = Kind(
    "a list of names", lambda value: isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)
)


def require(function: str, values: Mapping[str, tuple[Any, Kind]], *needed: str) -> None:
    """Check arguments.

    Args:
        function: public name of the function, for messages.
        values: name of an argument -> its value and what it may be; or None.
        needed: names of those that must not be None.

    Raises:
        SpecError: for the first one that does not fit.
    """
    for name, (value, kind) in values.items():
        if (value is not None or name in needed) and not kind.fits(value):
            remedy = f"help(dfkd_tune.{function}) describes it"
            raise SpecError(f"{function}: {name}", f"must be {kind.words}, got {quoted(value)}", remedy=remedy)
