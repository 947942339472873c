"""``.npz``: a student as NumPy arrays, with a module of NumPy beside it that answers by them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dfkd_tune.export.formats.base import ExportFormat
from dfkd_tune.export.formats.npz import forward

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from dfkd_tune.export.arrays import StudentArrays
    from dfkd_tune.export.schema import InputSchema


class NumPy(ExportFormat):
    """Loaded by ``numpy.load`` without pickles; its array ``features`` holds the feature names.

    It takes rows. A module ``.py`` beside it has the function ``forward``, which needs NumPy alone.
    """

    precisions: ClassVar[tuple[str, ...]] = ("float32", "int8")
    suffix: ClassVar[str | None] = "npz"
    companions: ClassVar[tuple[str, ...]] = (".py",)
    companion_mark: ClassVar[str] = "Outputs of a student from its .npz file"

    def write(self, module: nn.Module, schema: InputSchema) -> bytes:
        """The arrays."""
        from dfkd_tune.export.arrays import arrays_of

        student = arrays_of(module, "--format numpy")
        buffer = io.BytesIO()
        names = np.array(schema.names, dtype=np.str_)
        np.savez(buffer, allow_pickle=False, features=names, **_encoding(student, schema), **_weights(student))
        return buffer.getvalue()

    def beside(self, data: bytes) -> Mapping[str, bytes]:
        """The module with ``forward``."""
        return {".py": Path(forward.__file__).read_bytes()}

    def read(self, data: bytes, module: nn.Module) -> Callable[[Tensor], Tensor]:
        """``forward`` with these arrays."""
        import torch

        student = dict(np.load(io.BytesIO(data)))
        return lambda x: torch.from_numpy(np.asarray(forward.forward(student, x.numpy()), dtype=np.float32))

    def feature_names(self, data: bytes) -> list[str]:
        """The array ``features``."""
        return np.load(io.BytesIO(data))["features"].tolist()


def _weights(student: StudentArrays) -> dict[str, Any]:
    layers = len(student.layers) if student.kind == "mlp" else sum(n.endswith("depth_weight") for n in student.arrays)
    about = {"kind": student.kind, "activation": student.activation, "layers": layers}
    return {name: np.array(value) for name, value in about.items()} | dict(student.arrays)


def _encoding(student: StudentArrays, schema: InputSchema) -> dict[str, NDArray[Any]]:
    """What ``forward`` makes a student's columns of, in the student's own order: for each of them the feature that it is of, and
    the numbers of ``inputs.encoding.Encode``."""
    from dfkd_tune.inputs.encoding import MISSING, Encoding

    given = student.encoding or Encoding([0.0] * len(schema.names), [1.0] * len(schema.names))
    rows: list[tuple[float, ...]] = [
        (i, given.center[i], given.scale[i], np.inf, -np.inf, False, i in given.gapped, False) for i in given.ordered
    ]
    for i, levels in given.levels.items():
        numbers = [each for each in levels if not isinstance(each, str)]
        edges = [-np.inf, *((a + b) / 2 for a, b in pairwise(numbers)), np.inf] if numbers else []
        rows += [(i, 0.0, 1.0, low, high, False, False, True) for low, high in pairwise(edges)]
        rows += [(i, 0.0, 1.0, np.inf, -np.inf, True, False, True)] * (MISSING in levels)
    rows += [(i, 0.0, 1.0, np.inf, -np.inf, True, False, True) for i in given.gapped]
    column, *reals, missing, filled, hot = (np.array(each) for each in zip(*rows, strict=True))
    index = np.arange(len(rows)) if student.shape is None or student.shape.index is None else student.shape.index
    shape = (len(index),) if student.shape is None else student.shape.sizes
    made = {
        name: each.astype(given.dtype) for name, each in zip(("center", "scale", "above", "upto"), reals, strict=True)
    }
    made |= {"column": column.astype(np.int64), "missing": missing, "filled": filled, "hot": hot}
    return {name: each[index] for name, each in made.items()} | {"shape": np.array(shape)}
