"""Strided, depthwise-separable convolutions over a grid, as they are stored and exported."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from dfkd_tune.networks.base import ShapedArchitecture, ShapedNetwork
from dfkd_tune.utils.strategy import strategy


@strategy
class Conv2dArchitecture(ShapedArchitecture):
    """Convolutions over a grid and a linear layer; further arguments as for ``ShapedArchitecture``.

    Args:
        kernel: height and width of a convolution.
        layers: number of convolutional layers.
    """

    kernel: Annotated[int, Field(ge=2, le=15)]
    layers: Annotated[int, Field(ge=1, le=16)]

    kind: ClassVar[str] = "conv2d"

    def network(self) -> nn.Module:
        """The network from raw rows to raw outputs, with random weights."""
        return Conv2dNetwork(self)


class Conv2dNetwork(ShapedNetwork):
    """A convolution of all channels, residual layers, and a linear layer of all pixels that are left."""

    def __init__(self, about: Conv2dArchitecture) -> None:
        super().__init__(about, "grid")
        height, width, channels = about.columns.shaped("grid")
        self.around = around(about.kernel)
        self.first = nn.Conv2d(channels, about.width, about.kernel, stride=2)
        self.layers = nn.ModuleList(_Layer(about.width, about.kernel) for _ in range(about.layers - 1))
        left = halved(height, about.layers) * halved(width, about.layers)
        self.out = nn.Linear(about.width * left, about.outputs)

    def forward(self, x: Tensor) -> Tensor:
        h = F.silu(self.first(F.pad(self.arranged(x).permute(0, 3, 1, 2), self.around)))
        for layer in self.layers:
            h = layer(h)
        return self.out(h.flatten(1))


class _Layer(nn.Module):
    """A layer at every second pixel in both directions."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.around = around(kernel)
        self.depth = nn.Conv2d(width, width, kernel, stride=2, groups=width, bias=False)
        self.point = nn.Conv2d(width, width, 1)

    def forward(self, h: Tensor) -> Tensor:
        return h[:, :, ::2, ::2] + F.silu(self.point(self.depth(F.pad(h, self.around))))


def around(kernel: int) -> tuple[int, int, int, int]:
    """Pixels of padding left, right, above and below, so that convolutions are around every second pixel from the first one."""
    before, after = (kernel - 1) // 2, kernel // 2
    return before, after, before, after


def halved(size: int, times: int) -> int:
    """Number of pixels in one direction after so many layers."""
    return -(-size // 2**times)


def layers_for(height: int, width: int) -> int:
    """The fewest layers after which at most 2 x 2 pixels are left, so that each of them sees much of the image."""
    layers = 1
    while max(halved(height, layers), halved(width, layers)) > 2:
        layers += 1
    return layers
