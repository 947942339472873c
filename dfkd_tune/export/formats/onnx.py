"""``.onnx``: a graph for onnxruntime and whatever else reads ONNX."""

from __future__ import annotations

import copy
import io
import json
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dfkd_tune.compat.torch import forward_pre_hooks, set_forward_pre_hooks
from dfkd_tune.errors import ExportError
from dfkd_tune.export.formats.base import ExportFormat
from dfkd_tune.export.schema import InputSchema

CHECK = "check_input_constraints"
"""In the name of what ``torch.export`` 2.13 checks the inputs of a network with."""


class ONNX(ExportFormat):
    """``inputs`` ``(batch, D)`` to ``outputs`` ``(batch, O)``, any batch; its metadata hold the names of the features."""

    def write(self, module: nn.Module, schema: InputSchema) -> bytes:
        """The model."""
        return to_onnx(module, schema.rows[:2], {"features": json.dumps(schema.names)})

    def read(self, data: bytes, module: nn.Module) -> Callable[[Tensor], Tensor]:
        """The model in a session of onnxruntime on the CPU."""
        session = _libraries()[1].InferenceSession(data, providers=["CPUExecutionProvider"])
        return lambda x: torch.from_numpy(session.run(None, {"inputs": x.numpy()})[0])


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
                _EvalOnly(module),
                (rows,),
                buffer,  # pyright: ignore[reportArgumentType]  # torch writes to a file object too when it traces
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


class _EvalOnly(nn.Module):
    """A network that stays in evaluation mode: one read from ``.pt2`` cannot be told so again.

    Such a one checks its inputs before every call, which cannot be traced.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = copy.copy(inner)
        hooks = forward_pre_hooks(inner).items()
        set_forward_pre_hooks(self.inner, {k: hook for k, hook in hooks if CHECK not in getattr(hook, "__name__", "")})
        self.training = False

    def train(self, mode: bool = True) -> _EvalOnly:
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def _libraries() -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise ExportError(
            "--format onnx", f"needs the package {error.name}", remedy="pip install 'dfkd-tune[onnx]'"
        ) from None
    return onnx, onnxruntime
