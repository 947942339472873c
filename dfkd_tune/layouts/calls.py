"""A layout's call as ``torch.export`` takes it: example arguments, and which of their dimensions are free."""

from __future__ import annotations

import re
from keyword import iskeyword
from typing import Any

from torch import Tensor

from dfkd_tune.layouts import nested
from dfkd_tune.layouts.layout import Layout
from dfkd_tune.ops.pt2_archive import free_batch


def parameter_names(layout: Layout) -> list[str]:
    """Names of the parameters of the teacher's call, by position and by keyword, as Python can write them."""
    positional, keywords = layout.signature.call
    given = list(layout.signature.names) or [argument.name for argument in layout.arguments]
    names: list[str] = []
    for i, name in enumerate((*given[: len(positional)], *keywords)):
        plain = re.sub(r"\W", "_", name)
        while not plain.isidentifier() or iskeyword(plain) or plain in (*names, "self"):
            plain = f"x{i}_{plain}"  # which may be another argument's name as well
        names.append(plain)
    return names


def export_call(layout: Layout, rows: Tensor) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]:
    """The call with raw rows ``(2, D)``, for an export with any number of rows.

    Returns:
        positional arguments, keyword arguments, and ``dynamic_shapes``, by parameter.
    """
    positional, keywords = nested.filled(layout.signature.call, layout.to_arguments(rows))
    free = nested.filled(_leaves_alone(layout.signature.call), [free_batch()] * len(layout.arguments))
    return positional, keywords, dict(zip(parameter_names(layout), (*free[0], *free[1].values()), strict=True))


def _leaves_alone(tree: Any) -> Any:
    """A tree with None for its constants, which have no free dimension."""
    if isinstance(tree, dict):
        return {name: _leaves_alone(part) for name, part in tree.items()}
    if isinstance(tree, tuple | list):
        return type(tree)(_leaves_alone(part) for part in tree)
    return tree if isinstance(tree, nested.Leaf) else None
