"""Current paths of the files of a recorded study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dfkd_tune.teachers.base import Teacher


@dataclass(frozen=True)
class Sources:
    """Current paths of teacher and features, if they differ from the recorded ones.

    Args:
        teacher, architecture, features: paths; None for the recorded path.
        trust_pickle: whether to load a pickled teacher, which can run any code.
        held: the teacher itself, if this process holds it and no file does.
    """

    teacher: str | None = None
    architecture: str | None = None
    features: str | None = None
    trust_pickle: bool = False
    held: Teacher | None = None
