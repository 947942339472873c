"""The signature of a Python teacher: from its ``example_inputs``, or the parameters of its call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dfkd_tune.errors import TeacherError
from dfkd_tune.layouts import nested
from dfkd_tune.layouts.layout import Layout
from dfkd_tune.layouts.signature import Argument, Signature, argument_names

ATTRIBUTE = "example_inputs"
FORM = "a tensor, a tuple of positional arguments, or a dict of keyword arguments, with the rows in the first dimension"


def signature_of(
    source: object, function: Callable[..., Any], example: Any = None, dtype: torch.dtype = torch.float32
) -> Signature | None:
    """The signature of a module or callable; None for one parameter and no example, which is taken as flat rows.

    Args:
        source: its source, for messages.
        function: takes its own arguments.
        example: example inputs: a tensor or array, a tuple of positional arguments, or a dict of keyword arguments,
            with at least one row; by default its attribute ``example_inputs``.
        dtype: dtype of arguments whose example is a float64 array, which is NumPy's default.

    Raises:
        TeacherError: the example holds something else.
    """
    example = getattr(function, ATTRIBUTE, None) if example is None else example
    parameters = _parameters(function)
    if example is None:
        required = [each.name for each in parameters if each.default is inspect.Parameter.empty]
        return Signature.positional(Argument(name, None) for name in required) if len(required) > 1 else None
    call = _call(example)
    taken = _taken(source, call)
    names = [each.name for each in parameters]
    paths = [(path[1], *path[2:]) if path[0] == 1 else (_name(names, int(path[1])), *path[2:]) for path in taken.paths]
    arguments = []
    for name, value in zip(argument_names(paths), taken.leaves, strict=True):
        kind = dtype if isinstance(value, np.ndarray) and value.dtype == np.float64 else torch.as_tensor(value).dtype
        arguments.append(Argument(name, tuple(value.shape[1:]), kind))
    return Signature(tuple(arguments), taken.tree, names=tuple(_name(names, i) for i in range(len(call[0]))))


def rows_of(source: object, example: Any, layout: Layout) -> Tensor:
    """Example inputs as flat rows ``(2, D)``, float64; arguments and errors are those of ``signature_of``."""
    tensors = [torch.as_tensor(value) for value in _taken(source, _call(example)).leaves]
    two = [tensor[[0, min(1, len(tensor) - 1)]] for tensor in tensors]
    return layout.from_arguments(two, torch.float64)


def _taken(source: object, call: Any) -> nested.Taken:
    """The tensors and arrays of an example call."""
    try:
        taken = nested.take(call, lambda value: isinstance(value, Tensor | np.ndarray))
    except TypeError as error:
        raise TeacherError(source, f"its {ATTRIBUTE} must hold tensors; {error}", remedy=f"give {FORM}") from None
    if not taken.leaves or any(value.ndim == 0 or len(value) == 0 for value in taken.leaves):
        raise TeacherError(source, f"its {ATTRIBUTE} hold no rows", remedy=f"give {FORM}")
    return taken


def _call(example: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """An example as positional and keyword arguments."""
    if isinstance(example, Mapping):
        return (), dict(example)
    if isinstance(example, tuple):
        return example, {}
    return (example if isinstance(example, Tensor) else np.asarray(example),), {}


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
