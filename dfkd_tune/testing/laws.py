"""Check laws one after the other, and name the one that is broken."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import ParamSpec

P = ParamSpec("P")


def check_laws(laws: Iterable[Callable[P, None]], *given: P.args, **named: P.kwargs) -> None:
    """Check each law with the same arguments.

    Args:
        laws: functions that raise ``AssertionError`` if what they are given breaks them. Their docstrings say what holds.
        given, named: their arguments.

    Raises:
        AssertionError: from the first law that is broken, with its name and docstring as a note.
    """
    for law in laws:
        try:
            law(*given, **named)
        except AssertionError as error:
            error.add_note(f"Broken law {law.__name__}: {inspect.getdoc(law)}")
            raise
