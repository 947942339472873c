"""Write a network as a ``.pt2`` archive, which PyTorch loads without this package."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

MACHINE_METADATA = ("stack_trace", "nn_module_stack", "torch_fn", "source_fn_stack", "from_node")


TRACER = "torch._subclasses.fake_tensor"
"""Logger that prints the stack of every call that fails while a network is traced; the exception says the same."""


@contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger(TRACER)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def free_batch() -> dict[int, Any]:
    """The dynamic shape of a tensor with any number of rows in its first dimension."""
    return {0: torch.export.Dim("batch", min=1)}


def to_pt2(module: nn.Module, rows: Tensor, extra: Mapping[str, str] | None = None) -> bytes:
    """A network as a ``.pt2`` archive with a dynamic batch size, which ``torch.export.load`` loads without this package.

    Args:
        module: network from raw rows to raw outputs.
        rows: two raw rows ``(2, D)`` in the dtype of the network's input.
        extra: further text files by name, which ``torch.export.load`` returns through ``extra_files``.

        Nothing may train in this process during the call: ``torch.export`` of PyTorch 2.13 disturbs models in training.
    """
    return call_to_pt2(module, (rows,), {}, (free_batch(),), extra)


def call_to_pt2(
    module: nn.Module,
    positional: Sequence[Any],
    keywords: Mapping[str, Any],
    shapes: Any,
    extra: Mapping[str, str] | None = None,
) -> bytes:
    """The same for a network with other arguments.

    Args:
        module: the network.
        positional, keywords: the arguments of an example call with two rows.
        shapes: ``dynamic_shapes`` of ``torch.export.export``.
        extra: as for ``to_pt2``.
    """
    with torch.no_grad(), _quiet():
        program = torch.export.export(module, tuple(positional), dict(keywords), dynamic_shapes=shapes)
    for node in program.graph.nodes:  # they contain file paths of this machine
        for key in MACHINE_METADATA:
            node.meta.pop(key, None)
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files=dict(extra or {}))
    return buffer.getvalue()
