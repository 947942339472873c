"""Zip archives from strangers, measured before anything is unfolded."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path

import numpy as np

from dfkd_tune.errors import TeacherError
from dfkd_tune.utils import hardware

RATIO = 200
"""How many times its own size an archive may unfold to, once it is larger than ``SMALL_ARCHIVE_BYTES``; arrays of trees unfold to some ten times."""
SMALL_ARCHIVE_BYTES = 64 * 2**20
"""Bytes that any archive may unfold to."""
MEMORY_FRACTION = 0.5
"""Of the free memory, what a model file may take."""
PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Ways to compress that are unfolded bit by bit; the others give all they hold at once."""
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def room() -> int:
    """Bytes that one model file may take of the memory that is left."""
    return int(MEMORY_FRACTION * hardware.memory())


def fits(path: Path, size: int, what: str = "the file has") -> None:
    """Hold a size in bytes against the memory that is left, before it is read.

    Raises:
        TeacherError: it is too large.
    """
    if size > room():
        free = readable(hardware.memory())
        raise TeacherError(
            path,
            f"{what} {readable(size)}, this machine has {free} free",
            remedy="free memory, or use a larger machine",
        )


def read(path: Path) -> bytes:
    """The bytes of a file that fits into memory."""
    fits(path, path.stat().st_size)
    return path.read_bytes()


def readable(size: int) -> str:
    """Bytes as a person says them: ``8.8 GB``."""
    number = float(size)
    for unit in ("bytes", "KB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:,.1f} GB"


def unfolded(path: Path, data: bytes) -> bytes:
    """A copy of an archive without compression, every array in it as long as its header says.

    Entries are copied one by one as they were checked: another reader might find others in the original.

    Raises:
        TeacherError: it unfolds to more than it should, or an array does not fit its header.
        zipfile.BadZipFile: it is no archive, or damaged.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        entries = source.infolist()
        size = sum(entry.file_size for entry in entries)
        if size > max(SMALL_ARCHIVE_BYTES, RATIO * len(data)):
            raise TeacherError(
                path,
                f"a file of {readable(len(data))} that unfolds to {readable(size)}: no model does",
                remedy="save the model again, without compression",
            )
        fits(path, size, "unfolds to")
        copy = io.BytesIO()
        with zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as target:
            for entry in entries:
                if entry.compress_type not in PLAIN:
                    raise TeacherError(
                        path,
                        f"{entry.filename!r} is compressed in a way whose size cannot be checked",
                        remedy="save it with compression=zipfile.ZIP_DEFLATED, or none",
                    )
                with source.open(entry) as file:
                    content = file.read(entry.file_size + 1)
                if entry.filename.endswith(".npy"):
                    _measure(path, entry.filename, content)
                elif entry.filename.endswith(".npz"):
                    content = unfolded(path, content)
                target.writestr(entry.filename, content)
    return copy.getvalue()


def _measure(path: Path, name: str, content: bytes) -> None:
    """Hold the shape in an array's header against the bytes that follow it, before NumPy makes room for it."""
    file = io.BytesIO(content)
    try:
        shape, _, dtype = HEADERS[np.lib.format.read_magic(file)](file)
    except (KeyError, ValueError):
        raise TeacherError(path, f"{name!r} is not an array, or cut short") from None
    count, left = math.prod(shape), len(content) - file.tell()
    if min(shape, default=0) < 0 or count > left + 1 or count * dtype.itemsize != left:
        shaped = f"{shape} of {dtype}"[:100]
        raise TeacherError(path, f"{name!r} says that it holds {shaped}, and {readable(left)} follow")
