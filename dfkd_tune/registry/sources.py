"""Where the files of a recorded study lie."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sources:
    """Where teacher and inputs lie now, where that differs from what a study recorded.

    Args:
        teacher, architecture, features: paths; None for those recorded.
        trust_pickle: load a pickled teacher, which can run any code.
    """

    teacher: str | None = None
    architecture: str | None = None
    features: str | None = None
    trust_pickle: bool = False
