"""The signature of a Python teacher: from its ``example_inputs``, or the parameters of its call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dfkd_tune.errors import TeacherError
from dfkd_tune.inputs.signature import Argument, Signature, argument_names
from dfkd_tune.utils import nested

ATTRIBUTE = "example_inputs"
FORM = "a tensor, a tuple of positional arguments, or a dict of keyword arguments, with the rows in the first dimension"


def signature_of(source: object, function: Callable[..., Any], example: Any = None) -> Signature | None:
    """The signature of a module or callable; None for one parameter and no example, which is taken as flat rows.

    Args:
        source: its source, for messages.
        function: takes its own arguments.
        example: example inputs: a tensor or array, a tuple of positional arguments, or a dict of keyword arguments,
            with at least one row; by default its attribute ``example_inputs``.

    Raises:
        TeacherError: the example holds something else.
    """
    example = getattr(function, ATTRIBUTE, None) if example is None else example
    parameters = _parameters(function)
    if example is None:
        required = [each.name for each in parameters if each.default is inspect.Parameter.empty]
        return Signature.positional(Argument(name, None) for name in required) if len(required) > 1 else None
    call = _call(example)
    try:
        taken = nested.take(call, lambda value: isinstance(value, Tensor | np.ndarray))
    except TypeError as error:
        raise TeacherError(source, f"its {ATTRIBUTE} must hold tensors; {error}", remedy=f"give {FORM}") from None
    names = [each.name for each in parameters]
    tensors = [torch.as_tensor(value) for value in taken.leaves]
    if not tensors or any(tensor.ndim == 0 or len(tensor) == 0 for tensor in tensors):
        raise TeacherError(source, f"its {ATTRIBUTE} hold no rows", remedy=f"give {FORM}")
    paths = [(path[1], *path[2:]) if path[0] == 1 else (_name(names, int(path[1])), *path[2:]) for path in taken.paths]
    arguments = tuple(
        Argument(name, tuple(tensor.shape[1:]), tensor.dtype)
        for name, tensor in zip(argument_names(paths), tensors, strict=True)
    )
    return Signature(arguments, taken.tree, names=tuple(_name(names, i) for i in range(len(call[0]))))


def _call(example: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """An example as positional and keyword arguments."""
    if isinstance(example, Mapping):
        return (), dict(example)
    return (tuple(example), {}) if isinstance(example, tuple | list) else ((example,), {})


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters that may be given by position; empty if they cannot be found."""
    called = function.forward if isinstance(function, nn.Module) else function
    try:
        found = inspect.signature(called).parameters.values()
    except (TypeError, ValueError):  # written in C
        return []
    return [each for each in found if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]


def _name(names: list[str], i: int) -> str:
    return names[i] if i < len(names) else f"x{i}"
