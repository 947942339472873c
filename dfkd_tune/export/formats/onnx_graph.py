"""A network as a graph of ONNX, by PyTorch's tracing exporter."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dfkd_tune.compat.torch import forward_pre_hooks, set_forward_pre_hooks
from dfkd_tune.errors import ExportError

CHECK = "check_input_constraints"
"""Part of the name of the hook with which ``torch.export`` of PyTorch 2.13 checks a network's inputs."""


def to_onnx(
    module: nn.Module, example: tuple[Tensor, ...], inputs: list[str], outputs: list[str], about: dict[str, str]
) -> bytes:
    """A network of tensors as ONNX, with a dynamic batch size in the first dimension of all of them.

    Args:
        module: the network; it returns one tensor or a tuple.
        example: its arguments for two rows.
        inputs, outputs: their names, of any characters. An output that has the name of an input is called ``NAME_out``,
            since ONNX has one value of a name.
        about: metadata to store in the file.

    Raises:
        ExportError: if ONNX does not support a layer.
    """
    import onnx

    buffer, free = io.BytesIO(), {0: "batch"}
    # PyTorch refuses some names and changes others, so that they are given afterwards.
    given, made = (
        [f"{kind}::{i}" for i in range(len(names))] for kind, names in (("given", inputs), ("made", outputs))
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # The tracing exporter: the newer one needs onnxscript and disturbs models in training.
            torch.onnx.export(
                _EvalOnly(module),
                example,
                buffer,  # pyright: ignore[reportArgumentType]  # the tracing exporter also accepts a file object
                dynamo=False,
                input_names=given,
                output_names=made,
                dynamic_axes={name: free for name in (*given, *made)},
                do_constant_folding=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error).splitlines()[0]
        raise ExportError("--format onnx", f"this student cannot be written as ONNX: {reason}", remedy="pt2") from None
    model = onnx.load_from_string(buffer.getvalue())
    shown = [f"{name}_out" if name in inputs else name for name in outputs]
    _rename(model.graph, dict(zip((*given, *made), (*inputs, *shown), strict=True)))
    onnx.helper.set_model_props(model, about)
    return model.SerializeToString()


def _rename(graph: Any, names: Mapping[str, str]) -> None:
    """Rename values of a graph and of the graphs within it; another value that has a new name gets a mark behind its own."""
    taken = {*names.values()}

    def name(old: str) -> str:
        return names.get(old, f"{old}::inner" if old in taken else old)

    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = name(value.name)
    for node in graph.node:
        node.input[:], node.output[:] = map(name, node.input), map(name, node.output)
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                _rename(inner, names)


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

    def forward(self, *given: Tensor) -> Any:
        return self.inner(*given)
