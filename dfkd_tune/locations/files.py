"""Files written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from pathlib import Path

from dfkd_tune.errors import DfkdError, ExportError

REMEDIES = {
    errno.ENOSPC: "free some space, then run the same command again",
    errno.EDQUOT: "free some space, then run the same command again",
    errno.EFBIG: "raise the limit on the size of files, then run the same command again",
}


def write(path: Path, data: bytes, error: type[DfkdError]) -> None:
    """Write a file whole or not at all; when this returns, it survives a power cut.

    Raises:
        error: when the place takes no file; what was there before stays as it was.
    """
    partial = path.with_name(f".{uuid.uuid4().hex}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync(path.parent)
    except OSError as problem:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise refused(path, problem, error) from None


def write_output(path: Path, data: bytes) -> None:
    """Write a file that a user asked for, whole or not at all.

    Raises:
        ExportError: when the place takes no file.
    """
    write(path, data, ExportError)


def refused(path: Path, problem: OSError, error: type[DfkdError]) -> DfkdError:
    """What the system would not do, in one line with its remedy."""
    remedy = REMEDIES.get(problem.errno or 0, "choose another place")
    return error(path, f"cannot be written: {problem.strerror or problem}", remedy=remedy)


def _sync(folder: Path) -> None:
    """Make the names in a folder survive a power cut, where the system lets a folder be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
