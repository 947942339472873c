"""``Axes``: which dimension of an argument is time, and which are channels, rows and columns of pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from dfkd_tune.layouts.signature import Unfit, shape_in_words

Order = Literal["channels_last", "channels_first"]
"""Whether channels are the first dimension of an argument after the batch, or the last one."""
STEPS, CHANNELS, HEIGHT, WIDTH = "steps", "channels", "height", "width"


@dataclass(frozen=True)
class Axes:
    """What the dimensions of an argument are.

    Args:
        kind: ``window`` has steps and channels; ``grid`` has channels, height and width.
        names: names of the dimensions after the batch, in the order of the argument.
        sizes: their sizes; a size of 1 need not be a dimension of the argument.
        start: first column of the argument in flat rows.
    """

    kind: Literal["window", "grid"]
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    start: int = 0

    @property
    def order(self) -> Order:
        """Whether channels come first or last."""
        return "channels_first" if self.names[0] == CHANNELS else "channels_last"

    @property
    def width(self) -> int:
        """Number of columns."""
        return math.prod(self.sizes)

    def size(self, name: str) -> int:
        """Size of a dimension by its name."""
        return self.sizes[self.names.index(name)]

    def columns(self, *names: str) -> Tensor:
        """Columns of flat rows as an int64 tensor whose dimensions have these names, which must be those of the axes.

        ``rows[:, axes.columns("steps", "channels")]`` is ``(N, steps, channels)`` for either order.
        """
        own = torch.arange(self.start, self.start + self.width).reshape(self.sizes)
        return own.permute([self.names.index(name) for name in names])

    def tree(self) -> dict[str, Any]:
        """The axes as plain values for JSON."""
        sizes = dict(zip(self.names, self.sizes, strict=True))
        return {"kind": self.kind, "sizes": sizes, "order": self.order, "start": self.start}


def window_axes(steps: int, channels: int, order: Order | None, shape: Sequence[int] | None) -> Axes:
    """The axes of a window.

    Args:
        steps, channels: sizes of the window.
        order: the declared order; None to read it from ``shape``. Without a shape, channels are last, as in a recurrent layer.
        shape: shape of the argument without the batch; None if it is unknown. A shape ``(steps * channels,)`` is flat.

    Raises:
        Unfit: the sizes do not fit the shape, or they fit it in both orders.
    """
    last = Axes("window", (STEPS, CHANNELS), (steps, channels))
    first = Axes("window", (CHANNELS, STEPS), (channels, steps))
    return _chosen(last, first, order, shape)


def grid_axes(height: int, width: int, channels: int, order: Order | None, shape: Sequence[int] | None) -> Axes:
    """The axes of an image; arguments as for ``window_axes``. Without a shape, channels are first, as in PyTorch.

    Raises:
        Unfit: the sizes do not fit the shape, or they fit it in both orders.
    """
    first = Axes("grid", (CHANNELS, HEIGHT, WIDTH), (channels, height, width))
    last = Axes("grid", (HEIGHT, WIDTH, CHANNELS), (height, width, channels))
    return _chosen(first, last, order, shape)


def _chosen(usual: Axes, other: Axes, order: Order | None, shape: Sequence[int] | None) -> Axes:
    both = (usual, other)
    if order is not None:
        both = tuple(axes for axes in both if axes.order == order)
    if shape is None or long_sizes(shape) == [usual.width]:
        return both[0]
    fitting = [axes for axes in both if long_sizes(axes.sizes) == long_sizes(shape)]
    if not fitting:
        raise Unfit(f"declares {' or '.join(shape_in_words(axes.sizes) for axes in both)}")
    if len(fitting) > 1 and not torch.equal(fitting[0].columns(*usual.names), fitting[1].columns(*usual.names)):
        raise Unfit(
            f"declares {shape_in_words(usual.sizes)} with channels first or channels last, it does not say which"
        )
    return fitting[0]


def long_sizes(sizes: Sequence[int]) -> list[int]:
    """The sizes that are not 1."""
    return [size for size in sizes if size != 1]
