"""Let a compiled library read a file in a child process first: a file that crashes it, crashes the child alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from dfkd_tune.errors import TeacherError
from dfkd_tune.teachers.safety import archives, native_loader
from dfkd_tune.utils.object_reference import one_line

PATIENCE_S = 60.0
"""Longest time that a library may take to read a file, in seconds; each megabyte adds one. Some damaged files lead
around in circles."""
REFUSED = 3
"""Exit status of the child for a file that the library refuses."""
DAMAGED_REMEDY = "copy it again, or save it again with the installed version"


def read_by_library(path: Path, data: bytes, library: str) -> bytes:
    """Return a model as its library writes it, after the library read it and answered rows with it.

    Args:
        path: the file, for messages.
        data: its content.
        library: ``xgboost``, ``lightgbm`` or ``catboost``.

    Raises:
        TeacherError: the library refuses the file, crashes or takes too long.
    """
    command = [sys.executable, "-P", native_loader.__file__, library, str(archives.room())]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    patience = PATIENCE_S + len(data) / 2**20
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=patience, env=environment)
    except subprocess.TimeoutExpired:
        raise TeacherError(
            path, f"damaged: {library} did not finish reading it in {patience:.0f} s", remedy=DAMAGED_REMEDY
        ) from None
    if done.returncode == REFUSED:
        told = done.stderr.decode(errors="replace").rpartition("\0")[2]
        reason = one_line(ValueError(told.partition("Stack trace:")[0].strip()))
        raise TeacherError(path, f"not a model of {library}, or cut short: {reason}", remedy=DAMAGED_REMEDY)
    if done.returncode != 0:
        raise TeacherError(
            path, f"damaged: {library} ends with {done.returncode} when it reads it", remedy=DAMAGED_REMEDY
        )
    return done.stdout
