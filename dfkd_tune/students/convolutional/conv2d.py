"""A convolutional network over a grid, with a linear layer of the pixels that are left.

Notation: K members, N rows, E encoded columns, C channels, W channels of a layer, k by k taps, P pixels after the last layer, O
outputs. Each layer computes every second pixel in both directions. All members' channels are the groups of one convolution.
Students of different widths share one batched pass: a channel with zero weights stays at 0, and training leaves its weights zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from dfkd_tune.inputs.columns import Columns, Kind
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.networks.conv2d import Conv2dArchitecture, around, halved, layers_for
from dfkd_tune.students.convolutional.base import ConvolutionalStudent
from dfkd_tune.utils.strategy import strategy


@strategy
class Conv2d(ConvolutionalStudent):
    """A convolution of all channels, then residual layers ``h + silu(point * (depth * h))`` that are depthwise-separable.

    Depthwise-separable convolutions are those of Howard et al. 2017 (arXiv 1704.04861). A linear layer makes the outputs of all
    channels of all pixels that are left.

    Args:
        width: number of channels of a layer.
        kernel: height and width of a convolution.
        layers: number of convolutional layers; 0 for as many as leave at most 2 x 2 pixels.
    """

    width: Annotated[int, Field(ge=1, le=100_000)] = 12
    kernel: Annotated[int, Field(ge=2, le=15)] = 3
    layers: Annotated[int, Field(ge=0, le=16)] = 0

    has_width: ClassVar[bool] = True
    takes: ClassVar[Kind | None] = "grid"

    def depth(self, columns: Columns) -> int:
        """Number of convolutional layers over these grids."""
        return self.layers or layers_for(*columns.shaped("grid")[:2])

    def held(self, columns: Columns) -> int:
        """Pixels and their padding, then convolutions, products and their gradients; the first of them has a quarter of the pixels."""
        height, width, channels = columns.shaped("grid")
        return height * width * (4 * channels + 3 * self.width)

    def shapes(self, columns: Columns, outputs: int) -> list[tuple[int, ...]]:
        """Taps and bias of the first layer; taps, weight and bias of each further one; weight and bias of the linear layer."""
        (height, wide, channels), layers = columns.shaped("grid"), self.depth(columns)
        width, taps = self.width, self.kernel**2
        pixels = halved(height, layers) * halved(wide, layers)
        further = [(taps, width), (width, width), (width,)] * (layers - 1)
        return [(channels * taps, width), (width,), *further, (width * pixels, outputs), (outputs,)]

    def structure(self) -> tuple[object, ...]:
        """Key that two students must have in common to share a batched pass; width is not part of it."""
        return ("conv2d", self.kernel, self.layers)

    def hidden(self, weights: Sequence[Tensor], x: Tensor, columns: Columns) -> Tensor:
        """Channels ``(K, N, W P)`` of the pixels that are left, channel after channel."""
        first, bias, *layers = weights[:-2]
        h = columns.arranged(x, "grid").permute(1, 0, 4, 2, 3).flatten(1, 2)  # (N, K C, height, width)
        h = F.silu(self._convolved(h, first, bias, len(x)))
        for depth, point, shift in zip(layers[::3], layers[1::3], layers[2::3], strict=True):
            seen = self._convolved(h, depth, None, h.shape[1])
            mixed = F.conv2d(seen, _taps(point, 1), shift.flatten(), groups=len(x))
            h = h[:, :, ::2, ::2] + F.silu(mixed)
        return h.unflatten(1, (len(x), -1)).flatten(2).transpose(0, 1)

    def _convolved(self, h: Tensor, taps: Tensor, bias: Tensor | None, groups: int) -> Tensor:
        """The convolution of ``h`` at every second pixel; ``taps`` are ``(K, channels of a group times k k, W)``."""
        padded = F.pad(h, around(self.kernel))
        return F.conv2d(padded, _taps(taps, self.kernel), bias if bias is None else bias.flatten(), 2, groups=groups)

    def module(
        self, weights: Sequence[Tensor], columns: Columns, encoding: Encoding, shift: Tensor, spread: Tensor
    ) -> nn.Module:
        """One member as a float32 network from raw rows to raw outputs; its last layer gives raw outputs."""
        first, bias, *layers, out, last = (weight.double() for weight in weights)
        state = {"first.weight": _taps(first[None], self.kernel), "first.bias": bias}
        for i, (depth, point, own) in enumerate(zip(layers[::3], layers[1::3], layers[2::3], strict=True)):
            state |= {
                f"layers.{i}.depth.weight": _taps(depth[None], self.kernel),
                f"layers.{i}.point.weight": _taps(point[None], 1),
                f"layers.{i}.point.bias": own,
            }
        state |= {"out.weight": (out * spread).T, "out.bias": last * spread + shift}
        made = self.architecture(columns, encoding, len(shift))
        return made.module({name: value.float().contiguous() for name, value in state.items()})

    def architecture(self, columns: Columns, encoding: Encoding, outputs: int) -> Conv2dArchitecture:
        """The network of one member, as it is stored and exported."""
        return Conv2dArchitecture(columns, encoding, outputs, self.width, self.kernel, self.depth(columns))


def _taps(weights: Tensor, kernel: int) -> Tensor:
    """Stacked weights ``(K, C k k, W)`` as those of a convolution, ``(K W, C, k, k)``."""
    return weights.mT.flatten(0, 1).unflatten(1, (-1, kernel, kernel))
