"""Load pickles, which can run any code: of joblib, of Python, and files of ``torch.save`` with such a suffix."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path
from typing import Any

from torch import nn

from dfkd_tune.errors import TeacherError
from dfkd_tune.teachers.base import Teacher, hash_bytes
from dfkd_tune.teachers.black_box import from_estimator
from dfkd_tune.teachers.formats.state_dict import from_loaded, load_torch
from dfkd_tune.teachers.safety import archives
from dfkd_tune.utils.object_reference import one_line


def load_pickle(path: Path, architecture: Path | None, trust_pickle: bool) -> Teacher:
    """Load a pickled scikit-learn estimator, module or state dict. A file of ``torch.save`` needs no ``trust_pickle``.

    Raises:
        TeacherError: ``trust_pickle`` is false, or the file cannot be loaded.
    """
    if _of_torch(path):
        return load_torch(path, architecture, trust_pickle)
    if not trust_pickle:
        raise TeacherError(
            path,
            "is a pickle, which can run any code",
            remedy="save an estimator with skops, a network with torch.export, or --trust-pickle if you trust its author",
        )
    data = archives.read(path)
    found = _unpickled(path, data)
    if isinstance(found, nn.Module | dict):
        return from_loaded(path, found, architecture, hash_bytes(data))
    return from_estimator(path, found, hash_bytes(data))


def _of_torch(path: Path) -> bool:
    """Whether a file is an archive of ``torch.save``, regardless of its suffix."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except Exception:
        return False  # other files make zipfile raise several types of exceptions


def _unpickled(path: Path, data: bytes) -> Any:
    import joblib

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return joblib.load(io.BytesIO(data))
    except Exception as error:
        raise TeacherError(
            path,
            f"cannot be unpickled: {type(error).__name__}: {one_line(error)}",
            remedy="install what it was saved with, or save it again with what is installed here",
        ) from None
