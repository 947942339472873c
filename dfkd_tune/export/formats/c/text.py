"""Names, comments and numbers of a study as C source, which none of them can break out of."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from unicodedata import normalize

import numpy as np

from dfkd_tune.errors import ExportError

LONGEST = 40
"""Largest length of a part of an identifier. C99 tells 31 characters of external names apart for sure, and the part is unique."""
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-+=.,:;!#$%&'()[]{}|~^@/\"`")
"""Characters that stay as they are in a comment. None of them ends it, joins lines, or reads otherwise than it looks."""
WRAP = 100
"""Longest line of an array."""


def identifier(text: str, otherwise: str = "x") -> str:
    """The letters and digits of a text as a part of an identifier, such as ``oil_temp``: accents go, anything else is ``_``.

    Args:
        text: any text.
        otherwise: what is returned if it has neither letters nor digits of ASCII, and put before a leading digit.
    """
    ascii_only = normalize("NFKD", text).encode("ascii", "ignore").decode()
    found = re.sub(r"[^0-9A-Za-z]+", "_", ascii_only).strip("_")[:LONGEST].strip("_")
    if not found:
        return otherwise
    return f"{otherwise}_{found}" if found[0].isdigit() else found


def unique(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """The names with a number behind each one that is taken already, so that all differ."""
    used, found = set(taken), []
    for name in names:
        free, count = name, 2
        while free in used:
            free, count = f"{name}_{count}", count + 1
        used.add(free)
        found.append(free)
    return found


def comment(text: str) -> str:
    """A text for a comment of one line: every character outside ``PLAIN`` as ``<U+0041>``; ``uncommented`` reads it back."""
    return "".join(each if each in PLAIN else f"<U+{ord(each):04X}>" for each in text)


def uncommented(text: str) -> str:
    """The text that ``comment`` was given."""
    return re.sub(r"<U\+([0-9A-F]{4,6})>", lambda found: chr(int(found[1], 16)), text)


def number(value: float, double: bool = False) -> str:
    """A finite number as the shortest literal that is read back as the same float32, or float64.

    Raises:
        ExportError: it is not finite in that type.
    """
    with np.errstate(over="ignore"):
        exact = np.float64(value) if double else np.float32(value)
    if not math.isfinite(exact):
        raise ExportError("--format c", f"the number {value} is not finite in C", remedy="take --format pt2")
    text = str(exact)
    return text if double else f"{text}f"


def array(kind: str, name: str, values: Iterable[str]) -> str:
    """A constant array with its values, in lines of at most ``WRAP`` characters."""
    lines, line = [], "   "
    given = list(values)
    for value in given:
        if len(line) + len(value) + 2 > WRAP:
            lines, line = [*lines, line], "   "
        line += f" {value},"
    return f"static const {kind} {name}[{len(given)}] = {{\n" + "\n".join([*lines, line]) + "\n};"
