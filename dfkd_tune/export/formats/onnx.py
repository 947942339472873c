"""``.onnx``: a graph for ONNX Runtime and other readers of ONNX."""

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
"""Part of the name of the hook with which ``torch.export`` of PyTorch 2.13 checks a network's inputs."""


class ONNX(ExportFormat):
    """``inputs`` ``(batch, D)`` to ``outputs`` ``(batch, O)`` with a dynamic batch size; its metadata hold the feature names."""

    def write(self, module: nn.Module, schema: InputSchema) -> bytes:
        """The ONNX model."""
        return to_onnx(module, schema.rows[:2], {"features": json.dumps(schema.names)})

    def read(self, data: bytes, module: nn.Module) -> Callable[[Tensor], Tensor]:
        """The model in an ONNX Runtime session on the CPU."""
        session = _libraries()[1].InferenceSession(data, providers=["CPUExecutionProvider"])
        return lambda x: torch.from_numpy(session.run(["outputs"], {"inputs": x.numpy()})[0])

    def feature_names(self, data: bytes) -> list[str]:
        """The names in the model's metadata."""
        model = _libraries()[0].load_from_string(data)
        return json.loads(next(entry.value for entry in model.metadata_props if entry.key == "features"))


def to_onnx(module: nn.Module, rows: Tensor, about: dict[str, str]) -> bytes:
    """A student as ONNX: ``inputs`` ``(batch, D)`` to ``outputs`` ``(batch, O)``, with a dynamic batch size.

    Args:
        module: network from raw rows to raw outputs.
        rows: two raw rows ``(2, D)`` in the dtype of the network's input.
        about: metadata to store in the file.

    Raises:
        ExportError: if the ``onnx`` extra is not installed, or ONNX does not support a layer.
    """
    onnx, _ = _libraries()
    buffer, free = io.BytesIO(), {0: "batch"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # The tracing exporter: the newer one needs onnxscript and disturbs models in training.
            torch.onnx.export(
                _EvalOnly(module),
                (rows,),
                buffer,  # pyright: ignore[reportArgumentType]  # the tracing exporter also accepts a file object
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
    """A network that stays in evaluation mode, because ``eval`` fails on one loaded from ``.pt2``.

    It also drops the input check that such a network runs before every call, which cannot be traced.
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
