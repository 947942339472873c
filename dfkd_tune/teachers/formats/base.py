"""The interface of a teacher format: the file suffixes it reads, and a load function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dfkd_tune.teachers.base import Teacher


@dataclass(frozen=True)
class TeacherFormat:
    """A format of model files.

    Args:
        suffixes: file name suffixes, with the dot.
        load: ``(path, architecture, trust_pickle)`` -> a teacher in raw units. ``architecture`` is a YAML file of
            layers, for files that hold only weights, or None. It must not run code from the file unless
            ``trust_pickle`` is true. It raises ``TeacherError``.
    """

    suffixes: tuple[str, ...]
    load: Callable[[Path, Path | None, bool], Teacher]
