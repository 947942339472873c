"""Write a network as a ``.pt2`` archive, which PyTorch loads without this package."""

from __future__ import annotations

import io
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from dfkd_tune.inputs.layout import Layout
from dfkd_tune.students.drop_in import drop_in, example_call

MACHINE_METADATA = ("stack_trace", "nn_module_stack", "torch_fn", "source_fn_stack", "from_node")


def to_pt2(
    module: nn.Module, rows: Tensor, extra: Mapping[str, str] | None = None, layout: Layout | None = None
) -> bytes:
    """A student as a ``.pt2`` archive with a dynamic batch size, which ``torch.export.load`` loads without this package.

    Args:
        module: network from raw rows to raw outputs.
        rows: two raw rows ``(2, D)`` in the dtype of the network's input.
        extra: further text files by name, which ``torch.export.load`` returns through ``extra_files``.
        layout: the program takes the teacher's own arguments by it; None for rows.

        Nothing may train in this process during the call: ``torch.export`` of PyTorch 2.13 disturbs models in training.
    """
    with torch.no_grad():
        if layout is None:
            batch = {0: torch.export.Dim("batch", min=1)}
            program = torch.export.export(module, (rows,), dynamic_shapes=(batch,))
        else:
            positional, keywords, shapes = example_call(layout, rows)
            program = torch.export.export(
                drop_in(module, layout, rows.dtype), positional, keywords, dynamic_shapes=shapes
            )
    for node in program.graph.nodes:  # they contain file paths of this machine
        for key in MACHINE_METADATA:
            node.meta.pop(key, None)
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files=dict(extra or {}))
    return buffer.getvalue()
