"""A network as a ``.pt2`` archive, which PyTorch reads without this package."""

from __future__ import annotations

import io
from collections.abc import Mapping

import torch
from torch import Tensor, nn

MACHINE_METADATA = ("stack_trace", "nn_module_stack", "torch_fn", "source_fn_stack", "from_node")


def to_pt2(module: nn.Module, rows: Tensor, extra: Mapping[str, str] | None = None) -> bytes:
    """A student as a ``.pt2`` archive with a free batch size, which ``torch.export.load`` reads without this package.

    Args:
        module: between raw units.
        rows: two raw rows ``(2, D)`` in the dtype of its input.
        extra: further text files by name, which ``torch.export.load`` gives for its ``extra_files``.

    Nothing may train in this process meanwhile: ``torch.export`` of 2.13 disturbs models that do.
    """
    batch = {0: torch.export.Dim("batch", min=1)}
    with torch.no_grad():
        program = torch.export.export(module, (rows,), dynamic_shapes=(batch,))
    for node in program.graph.nodes:  # they name the files of the machine it was made on
        for key in MACHINE_METADATA:
            node.meta.pop(key, None)
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files=dict(extra or {}))
    return buffer.getvalue()
