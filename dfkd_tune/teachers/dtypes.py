"""The dtype in which a module is asked: that of its inputs, where it says or shows one."""

from __future__ import annotations

import torch
from torch import nn

from ..errors import TeacherError

TAKEN = (torch.float32, torch.float64)
"""Dtypes that rows have."""


def asked_dtype(source: object, module: nn.Module) -> torch.dtype:
    """The dtype of a module that declares none: of its first floating-point parameter, where a row of it is answered.

    A module may convert its rows, and keep its weights in a dtype of their own: which one it takes is found by asking.

    Raises:
        TeacherError: it takes rows of half precision alone.
    """
    held = [p.dtype for p in module.parameters() if p.is_floating_point()][:1]
    usual = [*(dtype for dtype in held if dtype in TAKEN), *TAKEN]
    tensors = [*module.parameters(), *module.buffers()]
    widths = list(dict.fromkeys(int(t.shape[1]) for t in tensors if t.ndim == 2 and t.shape[1] > 0))[:4]
    for dtype in dict.fromkeys(usual):
        if any(_answers(module, width, dtype) for width in widths):
            return dtype
    for dtype in held:
        if dtype not in TAKEN and any(_answers(module, width, dtype) for width in widths):
            refuse(source, dtype)
    return usual[0]


def declared(source: object, dtype: torch.dtype) -> torch.dtype:
    """The dtype that a file declares of its inputs.

    Raises:
        TeacherError: rows do not have it.
    """
    if dtype not in TAKEN:
        refuse(source, dtype)
    return dtype


def refuse(source: object, dtype: torch.dtype) -> None:
    """Say that inputs of a dtype are not asked.

    Raises:
        TeacherError: always.
    """
    raise TeacherError(
        source,
        f"takes {str(dtype).removeprefix('torch.')} inputs, a teacher is asked in float32 or float64",
        remedy="export a module that takes float32 and converts it itself",
    )


def _answers(module: nn.Module, width: int, dtype: torch.dtype) -> bool:
    try:
        with torch.no_grad():
            module(torch.zeros(2, width, dtype=dtype))
    except Exception:
        return False
    return True
