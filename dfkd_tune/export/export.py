"""One student as one file that loads without this package, held against the student before it is announced."""

from __future__ import annotations

import copy
import io
import json
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from dfkd_tune.compat.torch import forward_pre_hooks, set_forward_pre_hooks
from dfkd_tune.errors import ExportError
from dfkd_tune.export.student_files import write
from dfkd_tune.inputs.encoding import MISSING, Encoding
from dfkd_tune.students.pt2_archive import to_pt2
from dfkd_tune.training.raw_evaluation import ExportedStudent

FORMATS = ("pt2", "onnx", "safetensors")
TOLERANCE = 1e-5
CHECK = "check_input_constraints"
"""In the name of what ``torch.export`` 2.13 checks the inputs of a network with."""


@dataclass(frozen=True)
class InputSchema:
    """What a student's file must know of its inputs.

    Args:
        names: of the features, in order.
        encoding: of raw rows.
        rows: raw rows ``(N, D)`` as declared, in the dtype of its input, to compare answers on.
    """

    names: list[str]
    encoding: Encoding
    rows: Tensor

    @classmethod
    def of(cls, result: dict[str, Any]) -> InputSchema:
        """From a student's ``result.json``."""
        names = result["features"]
        levels = {names.index(name): _numbers(known) for name, known in result["levels"].items()}
        encoding = Encoding(result["center"], result["scale"], result["dtype"], levels)
        rows = [[math.nan if value is None else value for value in row] for row in result["example"]]
        return cls(names, encoding, torch.tensor(rows, dtype=encoding.torch_dtype))

    def student(self, answer: Callable[[Tensor], Tensor], parameters: int) -> ExportedStudent:
        """An exported student that takes such rows."""
        return ExportedStudent(answer, self.encoding.torch_dtype, parameters)


def _numbers(levels: list[float | str | None]) -> list[float | str]:
    """Levels as the student's input holds them: words by their codes, a missing value last."""
    words = any(isinstance(level, str) for level in levels)
    return [MISSING if level is None else float(code) if words else level for code, level in enumerate(levels)]


def export(
    module: nn.Module, units: InputSchema, kind: str, out: Path, judge: Callable[[ExportedStudent], Any] | None = None
) -> tuple[float, Any]:
    """Write a student as one file, with the names of its features, and make sure that it answers like the student.

    Args:
        module: between raw units, in evaluation mode.
        units: of its inputs.
        kind: one of ``FORMATS``.
        out: the file.
        judge: measures the student as the file has it; may raise, and nothing is written then.

    Returns:
        the largest difference between the file's answers and the student's, in the teacher's units, and what ``judge`` measured.

    Raises:
        ExportError: when it cannot be written, or its copy differs.
    """
    names = json.dumps(units.names)
    if kind == "onnx":
        data = to_onnx(module, units.rows[:2], {"features": names})
    elif kind == "pt2":
        data = to_pt2(module, units.rows[:2], {"features.json": names})
    else:
        data = save({k: v.contiguous() for k, v in module.state_dict().items()}, metadata={"features": names})
    answer = READERS[kind](data, module)
    worst = 0.0
    for x in (units.rows, units.rows[:1]):
        with torch.no_grad():
            expected = module(x)
            differs = float((answer(x) - expected).abs().max())
        if not differs <= TOLERANCE * (1 + float(expected.abs().max())):
            raise ExportError(
                out, f"the copy to be written differs from the student by {differs:g}", remedy="try another --format"
            )
        worst = max(worst, differs)
    measured = judge(units.student(answer, sum(p.numel() for p in module.parameters()))) if judge is not None else None
    write(out, data)
    return worst, measured


def to_onnx(module: nn.Module, rows: Tensor, about: dict[str, str]) -> bytes:
    """A student as ONNX: ``inputs`` ``(batch, D)`` to ``outputs`` ``(batch, O)``, any batch.

    Args:
        module: between raw units.
        rows: two raw rows ``(2, D)`` in the dtype of its input.
        about: metadata of the file.

    Raises:
        ExportError: without the ``onnx`` extra, or when a layer has no counterpart in ONNX.
    """
    onnx, _ = _libraries()
    buffer, free = io.BytesIO(), {0: "batch"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # The exporter by tracing: the newer one needs onnxscript, and disturbs models in training.
            torch.onnx.export(
                _Still(module),
                (rows,),
                buffer,
                dynamo=False,
                input_names=["inputs"],
                output_names=["outputs"],
                dynamic_axes={"inputs": free, "outputs": free},
                do_constant_folding=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error).splitlines()[0]
        raise ExportError("--format onnx", f"this student cannot be written as ONNX: {reason}", remedy="pt2") from None
    model = onnx.load_from_string(buffer.getvalue())
    onnx.helper.set_model_props(model, about)
    return model.SerializeToString()


class _Still(nn.Module):
    """A network that stays in evaluation mode: one read from ``.pt2`` cannot be told so again.

    Such a one checks its inputs before every call, which cannot be traced.
    """

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = copy.copy(inner)
        hooks = forward_pre_hooks(inner).items()
        set_forward_pre_hooks(self.inner, {k: hook for k, hook in hooks if CHECK not in getattr(hook, "__name__", "")})
        self.training = False

    def train(self, mode: bool = True) -> _Still:
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def _libraries():
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise ExportError(
            "--format onnx", f"needs the package {error.name}", remedy="pip install 'dfkd-tune[onnx]'"
        ) from None
    return onnx, onnxruntime


def _read_onnx(data: bytes, module: nn.Module) -> Callable[[Tensor], Tensor]:
    session = _libraries()[1].InferenceSession(data, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"inputs": x.numpy()})[0])


def _read_pt2(data: bytes, module: nn.Module) -> Callable[[Tensor], Tensor]:
    return torch.export.load(io.BytesIO(data)).module()


def _read_safetensors(data: bytes, module: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.func.functional_call(module, load(data), (x,))


READERS = {"onnx": _read_onnx, "pt2": _read_pt2, "safetensors": _read_safetensors}
"""Each format's reader, as somebody without this package has it."""
