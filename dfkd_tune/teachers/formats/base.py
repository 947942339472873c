"""The interface of a teacher format: which files it reads, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dfkd_tune.teachers.base import Teacher


@dataclass(frozen=True)
class TeacherFormat:
    """A kind of model file.

    Args:
        suffixes: endings of its files, with the dot.
        load: ``(path, architecture, trust_pickle)`` to a teacher in raw units. ``architecture`` is a YAML file of layers, for files
            that hold weights alone, or None. Nothing of the file may run as code unless ``trust_pickle``. Raises ``TeacherError``.
    """

    suffixes: tuple[str, ...]
    load: Callable[[Path, Path | None, bool], Teacher]
