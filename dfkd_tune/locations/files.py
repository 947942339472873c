"""Write files atomically."""

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
    """Write a file atomically; when this returns, the file survives a power cut.

    Raises:
        error: the file cannot be written; an existing file is unchanged.
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
    """Write a file that a user requested, atomically.

    Raises:
        ExportError: the file cannot be written.
    """
    write(path, data, ExportError)


def refused(path: Path, problem: OSError, error: type[DfkdError]) -> DfkdError:
    """The error for a failed write, with a remedy."""
    remedy = REMEDIES.get(problem.errno or 0, "choose another place")
    return error(path, f"cannot be written: {problem.strerror or problem}", remedy=remedy)


def _sync(folder: Path) -> None:
    """Make the entries of a folder survive a power cut, if the system can open folders."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
