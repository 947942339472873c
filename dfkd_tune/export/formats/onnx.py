"""``.onnx``: a graph for ONNX Runtime and other readers of ONNX."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from dfkd_tune.errors import ExportError
from dfkd_tune.export.formats.base import ExportFormat

if TYPE_CHECKING:
    from torch import Tensor, nn

    from dfkd_tune.export.schema import InputSchema
    from dfkd_tune.layouts.layout import Layout


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
        self.require()
        import torch

        from dfkd_tune.export.formats.onnx_graph import to_onnx
        from dfkd_tune.students.drop_in import Spread, drop_in

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
        self.require()
        import onnxruntime as runtime
        import torch

        from dfkd_tune.layouts import nested
        from dfkd_tune.layouts.layout import Layout

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
        self.require()
        import onnx

        model = onnx.load_from_string(data)
        return json.loads(next(entry.value for entry in model.metadata_props if entry.key == "features"))


def _with_float32(layout: Layout) -> Layout:
    """The layout with float32 for outputs of bfloat16, which ONNX Runtime does not return to Python."""
    import torch

    kinds = [torch.float32 if each.dtype == torch.bfloat16 else each.dtype for each in layout.outputs]
    outputs = tuple(replace(each, dtype=kind) for each, kind in zip(layout.outputs, kinds, strict=True))
    return replace(layout, signature=replace(layout.signature, outputs=outputs))
