"""Determine the dtype of a teacher's inputs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from dfkd_tune.errors import TeacherError
from dfkd_tune.layouts.signature import ROW_DTYPES
from dfkd_tune.teachers.base import Teacher


def likely_dtype(module: nn.Module) -> torch.dtype:
    """The likely input dtype of a module: that of its first floating-point parameter; ``settled`` verifies it."""
    held = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    return held if held in ROW_DTYPES else torch.float32


def taken_by(function: Callable[..., object]) -> torch.dtype:
    """The input dtype of a function: its attribute ``dtype``, of PyTorch, of NumPy or a name; float32 without one."""
    given = getattr(function, "dtype", None)
    if isinstance(given, str | type | np.dtype):
        with suppress(TypeError):  # it is no dtype
            given = {"float32": torch.float32, "float64": torch.float64}.get(np.dtype(given).name)
    return given if given in ROW_DTYPES else torch.float32


def settled(teacher: Teacher, x: Tensor) -> Teacher:
    """Return the teacher with an input dtype that it accepts; a module's weights may have a different dtype.

    Args:
        teacher: the teacher in raw units.
        x: ``(N, D)`` a few raw rows that match the declaration, float64.
    """
    module = teacher.function
    if not isinstance(module, nn.Module) or isinstance(module, torch.fx.GraphModule) or teacher.fast is not None:
        return teacher
    held = {p.dtype for p in module.parameters() if p.is_floating_point()} - set(ROW_DTYPES)
    for dtype in dict.fromkeys((teacher.dtype, *ROW_DTYPES, *held)):
        if _answers(teacher, x.to(dtype)):
            return replace(teacher, dtype=dtype)
    return teacher


def _answers(teacher: Teacher, x: Tensor) -> bool:
    try:
        with torch.no_grad():
            teacher.guard.once(teacher.source, teacher.function, x)
    except TeacherError:
        return False
    return True
