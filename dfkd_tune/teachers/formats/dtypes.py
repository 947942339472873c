"""Determine the dtype of a teacher's inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from dfkd_tune.errors import TeacherError
from dfkd_tune.teachers.base import Teacher

ROW_DTYPES = (torch.float32, torch.float64)
"""The dtypes that rows may have."""


def likely_dtype(module: nn.Module) -> torch.dtype:
    """The likely input dtype of a module: that of its first floating-point parameter; ``settled`` verifies it."""
    held = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    return held if held in ROW_DTYPES else torch.float32


def taken_by(function: Callable[..., object]) -> torch.dtype:
    """The input dtype of a function: its attribute ``dtype``, or float32."""
    given = getattr(function, "dtype", torch.float32)
    return given if given in ROW_DTYPES else torch.float32


def settled(teacher: Teacher, x: Tensor) -> Teacher:
    """Return the teacher with an input dtype that it accepts; a module's weights may have a different dtype.

    Args:
        teacher: the teacher in raw units.
        x: ``(N, D)`` a few raw rows that match the declaration, float64.

    Raises:
        TeacherError: it accepts only half-precision rows.
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
    """Check the input dtype that a file declares, and return it.

    Raises:
        TeacherError: it is neither float32 nor float64.
    """
    if dtype not in ROW_DTYPES:
        refuse(source, dtype)
    return dtype


def refuse(source: object, dtype: torch.dtype) -> None:
    """Refuse a teacher because of its input dtype.

    Raises:
        TeacherError: always.
    """
    raise TeacherError(
        source,
        f"takes {str(dtype).removeprefix('torch.')} inputs, a teacher must take float32 or float64",
        remedy="export a module that takes float32 and converts it itself",
    )


def _answers(teacher: Teacher, x: Tensor) -> bool:
    try:
        with torch.no_grad():
            teacher.guard.once(teacher.source, teacher.function, x)
    except TeacherError:
        return False
    return True
