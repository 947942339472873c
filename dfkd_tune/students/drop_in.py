"""A student in the teacher's place: it takes the teacher's own arguments and returns what the teacher returns."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dfkd_tune.layouts import nested
from dfkd_tune.layouts.calls import export_call, parameter_names
from dfkd_tune.layouts.layout import Layout
from dfkd_tune.ops.pt2_archive import call_to_pt2, to_pt2


class DropIn(nn.Module):
    """A flat network behind the teacher's own call; made by ``drop_in``.

    Args:
        network: from raw rows ``(N, D)`` to raw outputs ``(N, O)``.
        layout: how arguments and outputs lie in rows.
        dtype: dtype of the network's rows.
    """

    def __init__(self, network: nn.Module, layout: Layout, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.layout, self.dtype = network, layout, dtype
        self.training = False

    def forward(self, *positional: Any, **keywords: Any) -> Any:
        rows = self.layout.from_arguments(self._taken(positional, keywords), self.dtype)
        return self.layout.to_outputs(self.network(rows))

    def _taken(self, positional: tuple[Any, ...], keywords: dict[str, Any]) -> list[Tensor]:
        """The arguments of a call; those that the teacher takes by position may also be given by name."""
        by_place = parameter_names(self.layout)[: len(self.layout.signature.call[0])]
        named = [keywords.pop(name) for name in by_place[len(positional) :] if name in keywords]
        try:
            return self.layout.taken((*positional, *named), keywords)
        except (KeyError, IndexError, TypeError):
            raise TypeError(f"takes {self.layout.signature}") from None

    def train(self, mode: bool = True) -> DropIn:
        """Return the module, which stays in evaluation mode: a network that was loaded from ``.pt2`` has no other."""
        return self


def drop_in(network: nn.Module, layout: Layout, dtype: torch.dtype) -> DropIn:
    """Put a flat network behind the teacher's own call, with the names of the teacher's parameters.

    Args:
        network: from raw rows ``(N, D)`` to raw outputs ``(N, O)``, in evaluation mode.
        layout: how arguments and outputs lie in rows.
        dtype: dtype of the network's rows.
    """
    made = DropIn(network, layout, dtype)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind) for name in ("self", *parameter_names(layout))]

    def forward(self: DropIn, *positional: Any, **keywords: Any) -> Any:
        return DropIn.forward(self, *positional, **keywords)

    forward.__signature__ = inspect.Signature(parameters)
    made.__class__ = type("DropIn", (DropIn,), {"forward": forward})
    return made


def drop_in_pt2(
    network: nn.Module, rows: Tensor, layout: Layout | None, extra: Mapping[str, str] | None = None
) -> bytes:
    """A student as a ``.pt2`` archive that takes the teacher's arguments, or rows if there is no layout.

    Args:
        network: from raw rows to raw outputs.
        rows: two raw rows ``(2, D)`` in the dtype of the network's rows.
        layout: how the teacher's arguments and outputs lie in rows; None if it takes rows.
        extra: further text files by name.
    """
    if layout is None:
        return to_pt2(network, rows, extra)
    return call_to_pt2(drop_in(network, layout, rows.dtype), *export_call(layout, rows), extra)


class Spread(nn.Module):
    """A drop-in student with its arguments one after the other, and its outputs as a tuple: for graphs without structure."""

    def __init__(self, inner: DropIn) -> None:
        super().__init__()
        self.inner = inner
        self.training = False

    def forward(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        positional, keywords = nested.filled(self.inner.layout.signature.call, arguments)
        returned = nested.leaves_at(self.inner.layout.signature.returns, self.inner(*positional, **keywords))
        return tuple(returned[i] for i in range(len(returned)))

    def train(self, mode: bool = True) -> Spread:
        """Return the module, which stays in evaluation mode."""
        return self
