"""What convolutional students share: how their weights begin, and their last layer.

Notation: K members, N rows, E encoded columns, O outputs.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.networks.base import ShapedArchitecture
from dfkd_tune.students.autograd import AutogradStudent


class ConvolutionalStudent(AutogradStudent):
    """Convolutions, and a linear layer of what they leave."""

    @abstractmethod
    def shapes(self, columns: Columns, outputs: int) -> list[tuple[int, ...]]:
        """Shapes of one member's weights; the last two are the weight and the bias of the linear layer."""

    @abstractmethod
    def hidden(self, weights: Sequence[Tensor], x: Tensor, columns: Columns) -> Tensor:
        """Inputs ``(K, N, H)`` of the linear layer for stacked rows ``(K, N, E)``."""

    @abstractmethod
    def architecture(self, columns: Columns, encoding: Encoding, outputs: int) -> ShapedArchitecture:
        """The network of one member, as it is stored and exported."""

    def init_params(self, columns: Columns, outputs: int, rng: torch.Generator, dtype: torch.dtype) -> list[Tensor]:
        """Weights uniform within ``1 / sqrt(fan_in)``, as in ``nn.Linear`` and ``nn.Conv2d``; biases are 0."""
        made = []
        for shape in self.shapes(columns, outputs):
            draw = 2 * torch.rand(shape, generator=rng, dtype=torch.float64) - 1
            made.append((draw / math.sqrt(shape[0]) if len(shape) > 1 else 0.0 * draw).to(dtype))
        return made

    def answer(self, weights: Sequence[Tensor], x: Tensor, columns: Columns) -> Tensor:
        """Outputs ``(K, N, O)`` for stacked rows ``(K, N, E)``; differentiable by autograd."""
        return torch.baddbmm(weights[-1].unsqueeze(1), self.hidden(weights, x, columns), weights[-2])

    def layout(self, columns: Columns, encoding: Encoding, outputs: int) -> dict[str, Any]:
        """Content of ``architecture.yaml``, with which a student's weights can be loaded as a teacher."""
        return self.architecture(columns, encoding, outputs).tree()
