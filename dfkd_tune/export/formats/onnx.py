"""``.onnx``: a graph for ONNX Runtime and other readers of ONNX."""

from __future__ import annotations

import copy
import io
import json
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dfkd_tune.compat.torch import forward_pre_hooks, set_forward_pre_hooks
from dfkd_tune.errors import ExportError
from dfkd_tune.export.formats.base import ExportFormat
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.layouts import nested
from dfkd_tune.layouts.layout import Layout
from dfkd_tune.students.drop_in import Spread, drop_in

CHECK = "check_input_constraints"
"""Part of the name of the hook with which ``torch.export`` of PyTorch 2.13 checks a network's inputs."""


@dataclass(frozen=True)
class ONNX(ExportFormat):
    """``inputs`` ``(batch, D)`` to ``outputs`` ``(batch, O)`` with a dynamic batch size; its metadata hold the feature names.

    A drop-in student has the teacher's arguments as inputs and the teacher's outputs, one after the other, by their names.

    Args:
        threads: number of threads of a file that is read; 0 for as many as ONNX Runtime takes.
    """

    threads: int = 0

    drop_in: ClassVar[bool] = True
    packages: ClassVar[Mapping[str, str]] = dict.fromkeys(("onnx", "onnxruntime"), "'dfkd-tune[onnx]'")

    def write(self, module: nn.Module, schema: InputSchema) -> bytes:
        """The ONNX model."""
        about = {"features": json.dumps(schema.names)}
        if (layout := schema.layout) is None:
            rows = schema.form.rows(schema.rows[:2])
            return to_onnx(schema.drop_in(module), (rows,), ["inputs"], ["outputs"], about)
        if torch.bfloat16 in layout.dtypes:
            rule = "ONNX Runtime takes no bfloat16 from Python, which the teacher does"
            raise ExportError("--format onnx", rule, remedy="take --format pt2")
        names = [each.name for each in layout.arguments], [each.name for each in layout.outputs]
        layout = _with_float32(layout)
        spread = Spread(drop_in(module, layout, schema.rows.dtype))
        about["layout"] = json.dumps(layout.tree())
        return to_onnx(spread, tuple(layout.to_arguments(schema.rows[:2])), *names, about)

    def read(self, data: bytes, module: nn.Module) -> Callable[..., Any]:
        """The model in an ONNX Runtime session on the CPU; a drop-in student returns what the teacher does."""
        runtime = _libraries()[1]
        options = runtime.SessionOptions()
        options.intra_op_num_threads = self.threads
        session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        names = [each.name for each in session.get_inputs()]

        def run(tensors: Iterable[Tensor]) -> list[Tensor]:
            given = {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}
            return [torch.from_numpy(each) for each in session.run(None, given)]

        if (held := session.get_modelmeta().custom_metadata_map.get("layout")) is None:
            return lambda x: run([x])[0]
        layout = Layout.of(json.loads(held))
        return lambda *given, **named: nested.filled(layout.signature.returns, run(layout.taken(given, named)))

    def feature_names(self, data: bytes) -> list[str]:
        """The names in the model's metadata."""
        model = _libraries()[0].load_from_string(data)
        return json.loads(next(entry.value for entry in model.metadata_props if entry.key == "features"))


def _with_float32(layout: Layout) -> Layout:
    """The layout with float32 for outputs of bfloat16, which ONNX Runtime does not return to Python."""
    kinds = [torch.float32 if each.dtype == torch.bfloat16 else each.dtype for each in layout.outputs]
    outputs = tuple(replace(each, dtype=kind) for each, kind in zip(layout.outputs, kinds, strict=True))
    return replace(layout, signature=replace(layout.signature, outputs=outputs))


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
        ExportError: if the ``onnx`` extra is not installed, or ONNX does not support a layer.
    """
    onnx, _ = _libraries()
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


def _libraries() -> tuple[Any, Any]:
    ONNX().require()
    import onnx
    import onnxruntime

    return onnx, onnxruntime
