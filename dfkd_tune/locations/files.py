"""Write files atomically."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Collection, Iterable
from pathlib import Path

from dfkd_tune.errors import DfkdError, ExportError

REMEDIES = {
    errno.ENOSPC: "free some space, then run the same command again",
    errno.EDQUOT: "free some space, then run the same command again",
    errno.EFBIG: "raise the limit on the size of files, then run the same command again",
}
CHOOSE = "choose another place"
MAKE_FOLDER = f"make it, or {CHOOSE}"


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
        ExportError: the file cannot be written, or its folder is missing.
    """
    require_place(path)
    write(path, data, ExportError)


def require_place(path: Path) -> None:
    """Check, before the work for it starts, that a user's file can be written. A missing folder is not made: it may be misspelled.

    Raises:
        ExportError: it is a folder, or its folder is missing or not writable.
    """
    folder = path.parent
    if path.is_dir():
        raise ExportError(path, "is a folder", remedy="name a file in it")
    if not folder.is_dir():
        raise ExportError(path, missing_folder(folder), remedy=MAKE_FOLDER)
    if not os.access(folder, os.W_OK):
        raise ExportError(path, f"cannot be written: its folder {folder} is read-only", remedy=CHOOSE)


def require_folder(folder: Path, inputs: Iterable[str | None] = (), names: Collection[str] = ()) -> None:
    """The same for a folder of files. It is made itself if its own folder exists.

    Args:
        folder: path of the folder.
        inputs: what the command reads; of these, existing files are spared.
        names: files that will be written into the folder.

    Raises:
        ExportError: it is a file, its folder is missing, or an input would be overwritten.
    """
    if folder.is_file():
        raise ExportError(folder, "is a file", remedy=CHOOSE)
    if not folder.parent.is_dir():
        raise ExportError(folder, missing_folder(folder.parent), remedy=MAKE_FOLDER)
    for file in (Path(each) for each in inputs if each is not None):
        if file.name in names and file.is_file() and file.resolve().parent == folder.resolve():
            raise ExportError(folder, f"would get a new {file.name} in place of the given one", remedy=CHOOSE)


def missing_folder(folder: Path) -> str:
    """What is wrong with a folder that is none."""
    return f"its folder {folder} is a file" if folder.is_file() else f"there is no folder {folder}"


def refused(path: Path, problem: OSError, error: type[DfkdError]) -> DfkdError:
    """The error for a failed write, with a remedy."""
    remedy = REMEDIES.get(problem.errno or 0, CHOOSE)
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
