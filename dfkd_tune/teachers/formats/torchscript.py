"""Load TorchScript files, from a copy that was checked for code that accesses files."""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from dfkd_tune.errors import TeacherError
from dfkd_tune.layouts.signature import Argument, Signature
from dfkd_tune.teachers.base import Teacher, freeze, hash_bytes
from dfkd_tune.teachers.formats.dtypes import likely_dtype
from dfkd_tune.teachers.safety import archives
from dfkd_tune.utils.object_reference import one_line

OUTREACH = re.compile(r"\b(save|from_file|classes)\b|getattr\([^)]*\\|(?<![\w.])ops\b(?!\.(aten|prims?|quantized)\.)")
"""Code in TorchScript that can write files; loading or calling a script would run it."""
REMEDY = "export it as .pt2, or give --trust-pickle if you trust its author"


def is_script(data: bytes) -> bool:
    """Whether the bytes of a file are a TorchScript archive."""
    return any("/code/" in name or name.endswith("constants.pkl") for name in _names(data))


def load(path: Path, data: bytes, trust_pickle: bool) -> Teacher:
    """Load a script or trace.

    Raises:
        TeacherError: it does not load, or it can access files and ``trust_pickle`` is false.
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
    return Teacher(str(path), module, likely_dtype(module), hash_bytes(data), signature=_signature(path, module))


def _signature(path: Path, module: Any) -> Signature | None:
    """The tensors that a script takes, by name; their shapes and dtypes are not in the file.

    Raises:
        TeacherError: it needs an argument that is no tensor.
    """
    arguments = []
    for each in module.forward.schema.arguments[1:]:  # without self
        kind = str(each.type)
        if kind != "Tensor" and (each.has_default_value() or kind.startswith("Optional")):
            break  # the default values of the rest
        if kind != "Tensor":
            rule = f"its argument {each.name} is of type {kind}; the arguments of TorchScript must be tensors"
            raise TeacherError(path, rule, remedy="export it as .pt2, or script a module that takes tensors")
        arguments.append(Argument(each.name, None))
    return Signature.positional(arguments) if arguments else None


def _names(data: bytes) -> list[str]:
    """Names of the entries of a zip archive; empty for any other file."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.namelist()
    except Exception:
        return []  # a damaged directory makes zipfile raise several types of exceptions


def _harmless(path: Path, data: bytes) -> bytes:
    """Copy the checked entries one by one, because another reader might find other entries in the original."""
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
