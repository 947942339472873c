"""The dtype in which a module is asked: that of its inputs, where it says or shows one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from dfkd_tune.errors import TeacherError
from dfkd_tune.teachers.base import Teacher

ROW_DTYPES = (torch.float32, torch.float64)
"""Dtypes that rows have."""


def likely_dtype(module: nn.Module) -> torch.dtype:
    """The dtype of a module that declares none, as its first floating-point parameter has it; ``settled`` asks."""
    held = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    return held if held in ROW_DTYPES else torch.float32


def taken_by(function: Callable[..., object]) -> torch.dtype:
    """The dtype of rows that a function takes: its attribute ``dtype``, or float32."""
    given = getattr(function, "dtype", torch.float32)
    return given if given in ROW_DTYPES else torch.float32


def settled(teacher: Teacher, x: Tensor) -> Teacher:
    """The same teacher, asked in a dtype that it answers in; a module that declares none may keep its weights in another.

    Args:
        teacher: in raw units.
        x: a few raw rows ``(N, D)`` as declared, float64.

    Raises:
        TeacherError: it takes rows of half precision alone.
    """
    module = teacher.function
    if not isinstance(module, nn.Module) or isinstance(module, torch.fx.GraphModule) or teacher.fast is not None:
        return teacher
    for dtype in dict.fromkeys((teacher.dtype, *ROW_DTYPES)):
        if _answers(teacher, x.to(dtype)):
            return replace(teacher, dtype=dtype)
    held = {p.dtype for p in module.parameters() if p.is_floating_point()} - set(ROW_DTYPES)
    for dtype in held:
        if _answers(teacher, x.to(dtype)):
            refuse(teacher.source, dtype)
    return teacher


def declared(source: object, dtype: torch.dtype) -> torch.dtype:
    """The dtype that a file declares of its inputs.

    Raises:
        TeacherError: rows do not have it.
    """
    if dtype not in ROW_DTYPES:
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


def _answers(teacher: Teacher, x: Tensor) -> bool:
    try:
        with torch.no_grad():
            teacher.guard.once(teacher.source, teacher.function, x)
    except TeacherError:
        return False
    return True
