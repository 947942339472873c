"""Current paths of the files of a recorded study."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sources:
    """Current paths of teacher and features, if they differ from the recorded ones.

    Args:
        teacher, architecture, features: paths; None for the recorded path.
        trust_pickle: whether to load a pickled teacher, which can run any code.
    """

    teacher: str | None = None
    architecture: str | None = None
    features: str | None = None
    trust_pickle: bool = False
