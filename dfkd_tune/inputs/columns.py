"""``Columns``: how the encoded columns of a row lie in a window of steps or in a grid of pixels.

Students for shapes arrange rows by it. An argument of two dimensions is a window, ``(steps, channels)``; one of three is a
grid. Declared axes go before this rule (``layouts.axes``). The argument with the most values decides. Windows with as many
steps are further channels, as are grids of as many pixels. Every other value is a constant channel: it is the same at every
step or pixel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from functools import cached_property
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.layouts.axes import CHANNELS, HEIGHT, STEPS, WIDTH, Axes, grid_axes, window_axes
from dfkd_tune.layouts.layout import Layout
from dfkd_tune.utils.strategy import strategy

Kind = Literal["window", "grid"]

REPEATED = {"window": (STEPS,), "grid": (HEIGHT, WIDTH)}
"""Names of the dimensions that channels repeat along."""


@strategy
class Columns:
    """The encoded columns of a row, and the window or grid that they form.

    Args:
        width: number of encoded columns E.
        kind: ``window`` or ``grid``; None for a row without such a shape.
        shape: ``(steps, channels)`` of a window, ``(height, width, channels)`` of a grid; empty without one.
        index: the column at each place of the shape, in row-major order; a constant channel's column is at every place. It is
            empty if columns lie in this order.
    """

    width: Annotated[int, Field(ge=1)]
    kind: Kind | None = None
    shape: list[Annotated[int, Field(ge=1)]] = Field(default_factory=list)
    index: list[Annotated[int, Field(ge=0)]] = Field(default_factory=list, repr=False)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        places = self.index or range(self.width)
        if self.kind is None:
            if self.shape or self.index:
                raise ValueError("shape and index are those of a kind, window or grid")
            return self
        if len(self.shape) != len(REPEATED[self.kind]) + 1:
            raise ValueError(f"a {self.kind} has {len(REPEATED[self.kind]) + 1} sizes, got {self.shape}")
        if math.prod(self.shape) != len(places):
            raise ValueError(f"{self.shape} has {math.prod(self.shape)} places, there are {len(places)}")
        if max(places) >= self.width:
            raise ValueError(f"index names column {max(places)}, there are {self.width}")
        return self

    def shaped(self, kind: Kind) -> tuple[int, ...]:
        """The shape as a window or a grid. A row that has no such shape is a single step, or a single pixel."""
        return tuple(self.shape) if self.kind == kind else (1,) * len(REPEATED[kind]) + (self.width,)

    def arranged(self, e: Tensor, kind: Kind) -> Tensor:
        """Encoded rows ``(..., E)`` as windows ``(..., steps, channels)`` or grids ``(..., height, width, channels)``."""
        if self.kind == kind and self.index:
            e = e.index_select(-1, self.places.to(e.device))
        return e.view(*e.shape[:-1], *self.shaped(kind))

    def back(self, gradients: Tensor, kind: Kind) -> Tensor:
        """Convert gradients for windows or grids, flattened ``(..., places)``, to encoded columns ``(..., E)``."""
        if self.kind != kind or not self.index:
            return gradients
        found = gradients.new_zeros(*gradients.shape[:-1], self.width)
        return found.index_add_(-1, self.places.to(gradients.device), gradients)

    @cached_property
    def places(self) -> Tensor:
        """``index`` as a tensor."""
        return torch.tensor(self.index, device="cpu")  # also while a network is built on ``meta``

    def module(self, kind: Kind) -> Arrange:
        """A module that arranges encoded rows ``(N, E)``."""
        return Arrange(self, kind)

    def tree(self) -> dict[str, Any]:
        """The columns as a mapping for an architecture file."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name))}


class Arrange(nn.Module):
    """The layer that arranges encoded rows; it has no parameters."""

    index: Tensor | None

    def __init__(self, columns: Columns, kind: Kind) -> None:
        super().__init__()
        self.shape = columns.shaped(kind)
        placed = columns.places if columns.kind == kind and columns.index else None
        self.register_buffer("index", placed, persistent=False)

    def forward(self, e: Tensor) -> Tensor:
        e = e if self.index is None else e.index_select(1, self.index)
        return e.view(-1, *self.shape)  # not ``unflatten``, after which a traced graph has a fixed number of rows


def columns_of(inputs: Inputs, encoded: Sequence[Sequence[int]], width: int) -> Columns:
    """How the encoded columns of these inputs are arranged.

    Args:
        inputs: the declared inputs.
        encoded: the encoded columns of each feature.
        width: number of encoded columns.
    """
    found = sorted(axes_of(inputs), key=lambda axes: -axes.width)
    if not found:
        return Columns(width)
    lead, *others = found
    places = REPEATED[lead.kind]
    joined = [lead, *(axes for axes in others if axes.kind == lead.kind and _sizes(axes) == _sizes(lead))]
    # (places, channels) of features, each of which has one or more encoded columns
    features = torch.cat([axes.columns(*places, CHANNELS).flatten(0, -2) for axes in joined], dim=1).tolist()
    rows = [[column for feature in row for column in encoded[feature]] for row in features]
    counts = {tuple(len(encoded[feature]) for feature in row) for row in features}
    if len(counts) > 1:  # a channel is encoded otherwise at some steps, so that there are no channels
        return Columns(width)
    used = {column for row in rows for column in row}
    constant = [column for column in range(width) if column not in used]
    index = [column for row in rows for column in [*row, *constant]]
    shape = [*_sizes(lead), len(rows[0]) + len(constant)]
    return Columns(width, lead.kind, shape, [] if index == [*range(width)] else index)


def axes_of(inputs: Inputs) -> list[Axes]:
    """The windows and grids among the inputs: those declared, and those that follow from the shapes of other arguments."""
    declared = {axes.start for axes in inputs.axes}
    told = [] if inputs.layout is None else [axes for axes in _told(inputs.layout) if axes.start not in declared]
    return [axes for axes in (*inputs.axes, *told) if math.prod(_sizes(axes)) > 1]


def is_stationary(inputs: Inputs, axes: Axes) -> bool:
    """Whether all steps or pixels of a channel have one declaration."""
    repeated = REPEATED[axes.kind]
    for channel in axes.columns(CHANNELS, *repeated).flatten(1).tolist():
        first, *others = ({**vars(inputs.features[i]), "name": None} for i in channel)
        if any(each != first for each in others):
            return False
    return True


def _told(layout: Layout) -> Iterator[Axes]:
    """The windows and grids that follow from the shapes of arguments."""
    for argument in layout.arguments:
        shape, start = argument.shape or (), layout.columns[argument.name].start
        if len(shape) == 2:
            yield replace(window_axes(*shape, "channels_last", shape), start=start)
        if len(shape) == 3:
            yield replace(_image(*shape), start=start)


def _image(first: int, second: int, third: int) -> Axes:
    """The axes of an image: its two equal neighboring sizes are its pixels, or else its fewest values are its channels."""
    square_first, square_last = first == second, second == third
    channels_last = square_first if square_first != square_last else third < first
    if channels_last:
        return grid_axes(first, second, third, "channels_last", None)
    return grid_axes(second, third, first, "channels_first", None)


def _sizes(axes: Axes) -> tuple[int, ...]:
    """Number of steps, or of rows and columns of pixels."""
    return tuple(axes.size(name) for name in REPEATED[axes.kind])
