"""Teachers from MLflow: ``models:/name@alias``, ``models:/name/3``, ``runs:/id/path``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from ..errors import TeacherError
from ..imports import one_line
from .base import Teacher

SCHEMES = ("models:/", "runs:/")
PLAIN = (".pt2", ".onnx", ".skops", ".safetensors")
"""Files of a model that can be read without running code from it, best first."""


def load_mlflow(source: str, load_file: Callable[[Path], Teacher], trust_pickle: bool) -> Teacher:
    """Download a model and load the network inside it.

    Args:
        source: its URI.
        load_file: loads one model file.
        trust_pickle: also load flavors that are pickles, through ``mlflow.pyfunc``.

    Raises:
        TeacherError: when it cannot be had, or only a pickle is in it.
    """
    import mlflow

    with tempfile.TemporaryDirectory() as folder:
        try:
            local = Path(mlflow.artifacts.download_artifacts(source, dst_path=folder))
        except Exception as error:
            raise TeacherError(source, f"cannot be had from MLflow: {one_line(error)}") from None
        files = [local] if local.is_file() else sorted(path for path in local.rglob("*") if path.is_file())
        for suffix in PLAIN:
            found = [path for path in files if path.suffix == suffix]
            if found:
                return load_file(found[0])
        if not trust_pickle:
            raise TeacherError(
                source, "holds only a pickled model", remedy="log it as pt2, onnx or skops, or --trust-pickle"
            )
        return _pyfunc(source, local)


def _pyfunc(source: str, local: Path) -> Teacher:
    import mlflow
    import torch

    from .base import hash_bytes
    from .black_box import from_numpy

    try:
        model = mlflow.pyfunc.load_model(str(local))
    except Exception as error:
        raise TeacherError(source, f"cannot be loaded: {one_line(error)}") from None
    content = b"".join(path.read_bytes() for path in sorted(local.rglob("*")) if path.is_file())
    return Teacher(source, from_numpy(model.predict), torch.float32, hash_bytes(content))
