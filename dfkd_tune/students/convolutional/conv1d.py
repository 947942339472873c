"""A causal convolutional network over a window, read at its last step.

Notation: K members, N rows, E encoded columns, T steps, C channels, W channels of a layer, k taps, O outputs. Layer i of a
dilated network has taps 2^i steps apart. Its output at the last step needs every second of its inputs at layer i - 1, counted from the
last step. So each layer computes these alone, with a stride of 2, and the whole costs little more than its first layer.
Students of different widths share one batched pass: a channel with zero weights stays at 0, and training leaves its weights zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from dfkd_tune.inputs.columns import Columns, Kind
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.networks.conv1d import Conv1dArchitecture, earlier, layers_for
from dfkd_tune.students.convolutional.base import ConvolutionalStudent
from dfkd_tune.utils.strategy import strategy


@strategy
class Conv1d(ConvolutionalStudent):
    """Residual layers ``h + silu(point * (depth * h))`` of causal, dilated, depthwise-separable convolutions (Bai et al. 2018).

    A linear layer makes the first channels of every step, and another one the outputs of the last channels of the last step.

    Args:
        width: number of channels of a layer.
        kernel: number of taps of a convolution.
        layers: number of layers; 0 for as many as the last step needs to see all steps.
    """

    width: Annotated[int, Field(ge=1, le=100_000)] = 12
    kernel: Annotated[int, Field(ge=2, le=64)] = 3
    layers: Annotated[int, Field(ge=0, le=16)] = 0

    has_width: ClassVar[bool] = True
    takes: ClassVar[Kind | None] = "window"

    def depth(self, columns: Columns) -> int:
        """Number of layers over these windows."""
        return self.layers or layers_for(columns.shaped("window")[0], self.kernel)

    def held(self, columns: Columns) -> int:
        """Inputs, taps, products and their gradients; the first of two layers has as many steps as all others together."""
        return columns.shaped("window")[0] * self.width * (4 + 2 * self.kernel)

    def shapes(self, columns: Columns, outputs: int) -> list[tuple[int, ...]]:
        """Weight and bias of the first linear layer; taps, weight and bias of each layer; weight and bias of the last one."""
        channels, width = columns.shaped("window")[-1], self.width
        layer = [(self.kernel, width), (width, width), (width,)]
        return [(channels, width), (width,), *layer * self.depth(columns), (width, outputs), (outputs,)]

    def structure(self) -> tuple[object, ...]:
        """Key that two students must have in common to share a batched pass; width is not part of it."""
        return ("conv1d", self.kernel, self.layers)

    def hidden(self, weights: Sequence[Tensor], x: Tensor, columns: Columns) -> Tensor:
        """Channels ``(K, N, W)`` of the last step."""
        first, bias, *layers = weights[:-2]
        h = columns.arranged(x, "window")
        h = torch.baddbmm(bias.unsqueeze(1), h.flatten(1, 2), first).unflatten(1, h.shape[1:3])
        for depth, point, shift in zip(layers[::3], layers[1::3], layers[2::3], strict=True):
            kernel, start = depth.shape[1], earlier(h.shape[2])
            taps = F.pad(h, (0, 0, kernel - 1 - start, 0)).unfold(2, kernel, 2)  # (K, N, L, W, k)
            both = depth.mT.unsqueeze(3) * point.unsqueeze(2)  # depthwise and pointwise in one product
            z = torch.baddbmm(shift.unsqueeze(1), taps.reshape(len(h), -1, both[0, ..., 0].numel()), both.flatten(1, 2))
            h = h[:, :, start::2] + F.silu(z).unflatten(1, taps.shape[1:3])
        return h[:, :, -1]

    def module(
        self, weights: Sequence[Tensor], columns: Columns, encoding: Encoding, shift: Tensor, spread: Tensor
    ) -> nn.Module:
        """One member as a float32 network from raw rows to raw outputs; its last layer gives raw outputs."""
        first, bias, *layers, out, last = (weight.double() for weight in weights)
        state = {"first.weight": first.T, "first.bias": bias}
        for i, (depth, point, own) in enumerate(zip(layers[::3], layers[1::3], layers[2::3], strict=True)):
            state |= {
                f"layers.{i}.depth.weight": depth.T.unsqueeze(1),
                f"layers.{i}.point.weight": point.T.unsqueeze(2),
                f"layers.{i}.point.bias": own,
            }
        state |= {"out.weight": (out * spread).T, "out.bias": last * spread + shift}
        made = self.architecture(columns, encoding, len(shift))
        return made.module({name: value.float().contiguous() for name, value in state.items()})

    def architecture(self, columns: Columns, encoding: Encoding, outputs: int) -> Conv1dArchitecture:
        """The network of one member, as it is stored and exported."""
        return Conv1dArchitecture(columns, encoding, outputs, self.width, self.kernel, self.depth(columns))
