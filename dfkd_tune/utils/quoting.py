"""Quote values and names in messages, shortened so that a file cannot cause a message of any length."""

from __future__ import annotations

import reprlib

NAME = 80
"""Largest number of characters of a name in a message."""
VALUE = 200
"""Largest number of characters of a value in a message."""
DIGITS = 300
"""Largest number of bits of a whole number that is written with its digits."""


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 2
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdict = 6
        self.maxstring = self.maxother = NAME

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to convert very long integers to text.
        return repr(x) if x.bit_length() <= DIGITS else f"a whole number of {x.bit_length():,} bits"


_SHORT = _Short()


def quoted(value: object) -> str:
    """The ``repr`` of a value, shortened to its beginning if it is long."""
    text = _SHORT.repr(value)
    return text if len(text) <= VALUE else f"{text[:VALUE]}..."


def named(name: object) -> str:
    """A name, shortened to its beginning if it is long."""
    text = name if isinstance(name, str) else quoted(name)
    return text if len(text) <= NAME else f"{text[:NAME]}..."
