"""Frozen teachers: one file a format, one way to load them all.

A teacher maps raw inputs ``(N, D)`` to outputs ``(N, O)`` in its own units. Nothing here trains it, and loading never runs
code from a file: the one exception is a module path, which the user names.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import TeacherError
from .base import Teacher
from .chain import quicken
from .function import load_function
from .probe import Probe, probe
from .pt2 import load_pt2
from .weights import load_safetensors, load_torch

FORMATS = {
    ".pt2": load_pt2,
    ".safetensors": load_safetensors,
    ".pt": load_torch,
    ".pth": load_torch,
    ".ts": load_torch,
    ".bin": load_torch,
}
"""File ending -> loader ``(path, architecture, trust_pickle) -> Teacher``."""

MODULE_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def load_teacher(source: str | Path, architecture: Path | None = None, trust_pickle: bool = False) -> Teacher:
    """Load a teacher.

    Args:
        source: a file of one of ``FORMATS``, or ``package.module:function``, which returns an ``nn.Module`` or a callable.
        architecture: YAML of layers and activations, for files that hold weights alone.
        trust_pickle: allow a pickled module, which can run any code.

    Raises:
        TeacherError: in one line, whatever is wrong with the file.
    """
    if MODULE_PATH.fullmatch(str(source)):
        return quicken(load_function(str(source)))
    path = Path(source)
    if path.is_dir():
        raise TeacherError(path, "is a directory, not a model file")
    if not path.exists():
        raise TeacherError(path, "no such file", remedy="give a model file or package.module:function")
    if path.suffix not in FORMATS:
        known = ", ".join(FORMATS)
        raise TeacherError(
            path, f"unknown kind of model file {path.suffix!r}", remedy=f"known: {known}, package.module:function"
        )
    if path.stat().st_size == 0:
        raise TeacherError(path, "the file is empty")
    return quicken(FORMATS[path.suffix](path, architecture, trust_pickle))


__all__ = ["FORMATS", "Probe", "Teacher", "load_teacher", "probe"]
