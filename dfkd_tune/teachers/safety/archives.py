"""Size checks of untrusted zip archives, before anything is decompressed."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path

import numpy as np

from dfkd_tune.errors import TeacherError
from dfkd_tune.utils import hardware

RATIO = 200
"""Largest compression ratio of an archive beyond ``SMALL_ARCHIVE_BYTES``; arrays of trees reach about ten."""
SMALL_ARCHIVE_BYTES = 64 * 2**20
"""Decompressed size in bytes that any archive may have."""
MEMORY_FRACTION = 0.5
"""Share of the free memory that a model file may take."""
PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Compression methods that zipfile decompresses in small pieces; with the others it decompresses all at once."""
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def room() -> int:
    """Number of bytes of free memory that one model file may take."""
    return int(MEMORY_FRACTION * hardware.memory())


def fits(path: Path, size: int, what: str = "the file has") -> None:
    """Check that a file of ``size`` bytes fits into memory, before it is read.

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
    """Read a file, after a check that it fits into memory."""
    fits(path, path.stat().st_size)
    return path.read_bytes()


def readable(size: int) -> str:
    """Format a number of bytes, such as ``8.8 GB``."""
    number = float(size)
    for unit in ("bytes", "KB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:,.1f} GB"


def unfolded(path: Path, data: bytes) -> bytes:
    """Copy an archive without compression, and check that every array is as long as its header says.

    Checked entries are copied one by one, because another reader might find other entries in the original.

    Raises:
        TeacherError: it decompresses to too much, or an array does not fit its header.
        zipfile.BadZipFile: it is not an archive, or damaged.
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
    """Compare the shape in an array's header with the bytes that follow, before NumPy allocates memory for it."""
    file = io.BytesIO(content)
    try:
        shape, _, dtype = HEADERS[np.lib.format.read_magic(file)](file)
    except (KeyError, ValueError):
        raise TeacherError(path, f"{name!r} is not an array, or cut short") from None
    count, left = math.prod(shape), len(content) - file.tell()
    if min(shape, default=0) < 0 or count > left + 1 or count * dtype.itemsize != left:
        shaped = f"{shape} of {dtype}"[:100]
        raise TeacherError(path, f"{name!r} says that it holds {shaped}, and {readable(left)} follow")
