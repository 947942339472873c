"""Causal, dilated, depthwise-separable convolutions, as they are stored and exported."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from dfkd_tune.networks.base import ShapedArchitecture, ShapedNetwork
from dfkd_tune.utils.strategy import strategy


@strategy
class Conv1dArchitecture(ShapedArchitecture):
    """Convolutions over a window, read at its last step; further arguments as for ``ShapedArchitecture``.

    Args:
        kernel: number of taps of a convolution.
        layers: number of layers.
    """

    kernel: Annotated[int, Field(ge=2, le=64)]
    layers: Annotated[int, Field(ge=1, le=16)]

    kind: ClassVar[str] = "conv1d"

    def network(self) -> nn.Module:
        """The network from raw rows to raw outputs, with random weights."""
        return Conv1dNetwork(self)


class Conv1dNetwork(ShapedNetwork):
    """A linear layer at every step, causal layers, and a linear layer at the last step."""

    def __init__(self, about: Conv1dArchitecture) -> None:
        super().__init__(about, "window")
        self.first = nn.Linear(about.columns.shaped("window")[-1], about.width)
        self.layers = nn.ModuleList(_Layer(about.width, about.kernel) for _ in range(about.layers))
        self.out = nn.Linear(about.width, about.outputs)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(self.arranged(x)).transpose(1, 2)
        for layer in self.layers:
            h = layer(h)
        return self.out(h[:, :, -1])


class _Layer(nn.Module):
    """A layer at every second step, counted from the last one, because later layers need no others."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.depth = nn.Conv1d(width, width, kernel, stride=2, groups=width, bias=False)
        self.point = nn.Conv1d(width, width, 1)

    def forward(self, h: Tensor) -> Tensor:
        start = earlier(h.shape[2])
        before = self.depth.kernel_size[0] - 1 - start
        return h[:, :, start::2] + F.silu(self.point(self.depth(F.pad(h, (before, 0)))))


def earlier(steps: int) -> int:
    """The first of every second step, counted from the last one."""
    return (steps - 1) % 2


def layers_for(steps: int, kernel: int) -> int:
    """The fewest layers whose output at the last step depends on all steps."""
    layers = 1
    while 1 + (kernel - 1) * (2**layers - 1) < steps:
        layers += 1
    return layers
