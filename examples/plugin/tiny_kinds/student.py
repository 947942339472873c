"""A student with one hidden layer of sines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.students.autograd import AutogradStudent, Raw
from dfkd_tune.utils.strategy import strategy


@strategy
class Sine(AutogradStudent):
    """``sum_h v_h sin(w_h x + p_h) + b``.

    Args:
        width: hidden units.
    """

    width: Annotated[int, Field(ge=1, le=100_000)] = 8
    has_width: ClassVar[bool] = True

    def shapes(self, columns: Columns, outputs: int) -> list[tuple[int, ...]]:
        return [(columns.width, self.width), (self.width,), (self.width, outputs), (outputs,)]

    def structure(self) -> tuple:
        return ("sine", self.width)

    def init_params(self, columns: Columns, outputs: int, rng: torch.Generator, dtype: torch.dtype) -> list[Tensor]:
        drawn = [torch.randn(shape, generator=rng, dtype=torch.float64) for shape in self.shapes(columns, outputs)]
        return [(value / math.sqrt(value.shape[0])).to(dtype) for value in drawn]

    def answer(self, weights: Sequence[Tensor], x: Tensor, columns: Columns) -> Tensor:
        first, phase, out, bias = weights
        return torch.sin(x @ first + phase.unsqueeze(1)) @ out + bias.unsqueeze(1)

    def module(
        self, weights: Sequence[Tensor], columns: Columns, encoding: Encoding, shift: Tensor, spread: Tensor
    ) -> nn.Module:
        return Raw(Network(weights), encoding, shift, spread).eval()


class Network(nn.Module):
    """One member as a network."""

    def __init__(self, weights: Sequence[Tensor]) -> None:
        super().__init__()
        self.weights = nn.ParameterList([nn.Parameter(w.float(), requires_grad=False) for w in weights])

    def forward(self, x: Tensor) -> Tensor:
        first, phase, out, bias = self.weights
        return torch.sin(x @ first + phase) @ out + bias
