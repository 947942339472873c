"""Teachers saved as TorchScript, read in a copy that was checked for what reaches beyond a network."""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from pathlib import Path

import torch

from dfkd_tune.errors import TeacherError
from dfkd_tune.teachers.base import Teacher, freeze, hash_bytes
from dfkd_tune.teachers.formats.dtypes import likely_dtype
from dfkd_tune.teachers.safety import archives
from dfkd_tune.utils.object_reference import one_line

OUTREACH = re.compile(r"\b(save|from_file|classes)\b|getattr\([^)]*\\|(?<![\w.])ops\b(?!\.(aten|prims?|quantized)\.)")
"""What TorchScript writes files with, or could: loading and asking a script run it."""
REMEDY = "export it as .pt2, or give --trust-pickle if you trust its author"


def is_script(data: bytes) -> bool:
    """Whether the bytes of a file are an archive of TorchScript."""
    return any("/code/" in name or name.endswith("constants.pkl") for name in _names(data))


def load(path: Path, data: bytes, trust_pickle: bool) -> Teacher:
    """A script or trace.

    Raises:
        TeacherError: it does not load, or reaches beyond a network and is not trusted.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = torch.jit.load(io.BytesIO(data if trust_pickle else _harmless(path, data)), map_location="cpu")
    except TeacherError:
        raise
    except Exception as error:
        raise TeacherError(
            path,
            f"TorchScript that cannot be loaded: {one_line(error)}",
            remedy=f"copy it again, save it with torch {torch.__version__.partition('+')[0]}, or export it as .pt2",
        ) from None
    module = freeze(module)
    return Teacher(str(path), module, likely_dtype(module), hash_bytes(data))


def _names(data: bytes) -> list[str]:
    """The entries of a zip archive; none for any other file."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.namelist()
    except Exception:
        return []  # zipfile meets a damaged directory with several kinds of exception


def _harmless(path: Path, data: bytes) -> bytes:
    """A copy, entry by entry as checked: another reader might find other entries in the original."""
    copy = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        archives.fits(path, sum(entry.file_size for entry in source.infolist()), "unfolds to")
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            content = source.read(name)
            found = OUTREACH.search(content.decode(errors="replace")) if name.endswith(".py") else None
            if found:
                raise TeacherError(path, f"TorchScript that reaches beyond a network: {found[0]!r}", remedy=REMEDY)
            target.writestr(name, content)
    return copy.getvalue()
