"""Values and names in messages: cut before they are written out, so that no file makes a message of any size."""

from __future__ import annotations

import reprlib

NAME = 80
"""Characters of a name that a message tells."""
VALUE = 200
"""Characters of a value that a message tells."""
DIGITS = 300
"""Bits of a whole number that is written out."""


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 2
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdict = 6
        self.maxstring = self.maxother = NAME

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to write out the longest.
        return repr(x) if x.bit_length() <= DIGITS else f"a whole number of {x.bit_length():,} bits"


_SHORT = _Short()


def quoted(value: object) -> str:
    """A value as Python writes it, of a long one the beginning."""
    text = _SHORT.repr(value)
    return text if len(text) <= VALUE else f"{text[:VALUE]}..."


def named(name: object) -> str:
    """A name as it is, of a long one the beginning."""
    text = name if isinstance(name, str) else quoted(name)
    return text if len(text) <= NAME else f"{text[:NAME]}..."
