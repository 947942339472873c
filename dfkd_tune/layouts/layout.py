"""``Layout``: how the arguments and outputs of a teacher lie in flat rows, and back.

Pool, generators, bounds and banks work on flat rows ``(N, D)``. An argument's values follow each other in row-major
order, and the arguments follow each other in their order. The same holds for outputs ``(N, O)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor

from dfkd_tune.layouts import nested
from dfkd_tune.layouts.signature import ROW_DTYPES, Argument, Output, Signature, Unfit, tensors_in, value_names


@dataclass(frozen=True)
class Layout:
    """The conversion between a teacher's own call and flat rows.

    Args:
        signature: a complete signature.
        wide: whether rows are float64 because float32 would round a whole number of the declaration.
    """

    signature: Signature
    wide: bool = False

    @property
    def arguments(self) -> tuple[Argument, ...]:
        """The arguments, in the order of the columns."""
        return self.signature.arguments

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The outputs, in the order of the columns; they must be known."""
        assert (
            self.signature.outputs is not None
        )  # ``teachers.signatures.arranged`` finds them before anything needs them
        return self.signature.outputs

    @cached_property
    def columns(self) -> dict[str, slice]:
        """Name of an argument -> its columns in a row."""
        return {each.name: place for each, place in zip(self.arguments, _places(self.arguments), strict=True)}

    @cached_property
    def width(self) -> int:
        """Number of columns D of a row."""
        return sum(each.width for each in self.arguments)

    @cached_property
    def names(self) -> list[str]:
        """Default names of the columns: ``signal[3,2]``, or ``x0``, ``x1``, ... for a single argument ``(N, D)``."""
        if len(self.arguments) == 1 and len(self.arguments[0].shape or ()) == 1:
            return [f"x{i}" for i in range(self.width)]
        return [name for each in self.arguments for name in value_names(each.name, each.shape or ())]

    @cached_property
    def output_names(self) -> list[str]:
        """Names of the columns of the outputs."""
        return [name for each in self.outputs for name in value_names(each.name, each.shape)]

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of rows: float64 if an argument is, or if ``wide``."""
        double = self.wide or any(each.dtype == torch.float64 for each in self.arguments)
        return torch.float64 if double else torch.float32

    @cached_property
    def dtypes(self) -> list[torch.dtype]:
        """The dtype of each column's argument."""
        return [each.dtype or torch.float32 for each in self.arguments for _ in range(each.width)]

    @property
    def narrow(self) -> dict[int, torch.dtype]:
        """Column -> dtype of its argument, where that is a floating-point dtype with fewer digits than rows have."""
        own = torch.finfo(self.dtype).eps
        floats = {i: dtype for i, dtype in enumerate(self.dtypes) if dtype.is_floating_point}
        return {i: dtype for i, dtype in floats.items() if torch.finfo(dtype).eps > own}

    def to_arguments(self, rows: Tensor) -> list[Tensor]:
        """The arguments of a call from flat rows ``(N, D)``, in their shapes and dtypes.

        Gradients flow through arguments of floating-point numbers. Whole numbers must already lie in the rows exactly.
        """
        return [
            _argument(rows[:, place], each) for each, place in zip(self.arguments, self.columns.values(), strict=True)
        ]

    def from_arguments(self, arguments: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
        """Flat rows ``(N, D)`` of a dtype from the arguments of a call."""
        return torch.cat([_columns(each).to(dtype) for each in arguments], dim=1)

    def call(self, function: Callable[..., Any], rows: Tensor) -> Any:
        """Call a function as the teacher is called, with flat rows ``(N, D)``; returns what it returns."""
        positional, keywords = nested.filled(self.signature.call, self.to_arguments(rows))
        return function(*positional, **keywords)

    def flat(self, function: Callable[..., Any]) -> Callable[[Tensor], Tensor]:
        """A function that is called as the teacher is, as one from flat rows ``(N, D)`` to flat outputs ``(N, O)``."""
        return lambda rows: self.from_outputs(self.call(function, rows), len(rows))

    def taken(self, positional: Sequence[Any], keywords: Mapping[str, Any]) -> list[Tensor]:
        """The arguments, in order, from a call as the teacher is called."""
        found = nested.leaves_at(self.signature.call, (positional, keywords))
        return [found[i] for i in range(len(self.arguments))]

    def from_outputs(self, returned: Any, rows: int) -> Tensor:
        """Flat outputs ``(N, O)`` from what a call with ``rows`` rows returned.

        Raises:
            Unfit: it is not what the teacher returns.
        """
        tensors, taken = tensors_in(returned, rows)
        known = self.signature
        if known.outputs is not None and (
            taken.tree != known.returns
            or any(tuple(t.shape[1:]) != each.shape for t, each in zip(tensors, known.outputs, strict=True))
        ):
            found = ", ".join(str(tuple(each.shape)) for each in tensors)
            raise Unfit(f"returned {found}, expected {', '.join(map(str, known.outputs))}")
        dtype = torch.float64 if any(each.dtype == torch.float64 for each in tensors) else torch.float32
        return torch.cat([_columns(each).to(dtype) for each in tensors], dim=1)

    def to_outputs(self, y: Tensor) -> Any:
        """What the teacher returns, from flat outputs ``(N, O)``: in its shapes and dtypes."""
        parts = []
        for each, place in zip(self.outputs, _places(self.outputs), strict=True):
            part = y[:, place.start] if each.shape == () else y[:, place].unflatten(1, each.shape)
            parts.append(part.to(each.dtype))
        return nested.filled(self.signature.returns, parts)

    def steps(self, y: Tensor) -> Tensor:
        """Distance ``(N, O)`` between neighboring numbers of the outputs' dtypes at flat outputs; 0 for float32 and float64."""
        narrow = [each.dtype not in ROW_DTYPES for each in self.outputs for _ in range(each.width)]
        eps = [torch.finfo(each.dtype).eps for each in self.outputs for _ in range(each.width)]
        return y.abs() * torch.tensor(eps, dtype=y.dtype) * torch.tensor(narrow)

    def with_outputs(self, returned: Any, rows: int) -> Layout:
        """The layout with the outputs of a call; arguments and errors are those of ``Signature.with_outputs``."""
        return replace(self, signature=self.signature.with_outputs(returned, rows))

    def tree(self) -> dict[str, Any]:
        """The layout as plain values for JSON."""
        return self.signature.tree() | ({"wide": True} if self.wide else {})

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> Layout:
        """The layout that ``tree`` wrote."""
        return cls(Signature.of(tree), tree.get("wide", False))


def _places(parts: Sequence[Argument] | Sequence[Output]) -> list[slice]:
    ends = [0, *accumulate(each.width for each in parts)]
    return [slice(start, end) for start, end in pairwise(ends)]


def _argument(part: Tensor, argument: Argument) -> Tensor:
    """One argument from its columns ``(N, width)``."""
    assert argument.shape is not None and argument.dtype is not None  # the signature is complete
    part = part.unflatten(1, argument.shape) if argument.shape else part[:, 0]
    part = part.round() if argument.whole else part
    return part.to(argument.dtype).contiguous()


def _columns(tensor: Tensor) -> Tensor:
    """The columns ``(N, width)`` of one argument or output."""
    return tensor[:, None] if tensor.ndim == 1 else tensor.flatten(1)
