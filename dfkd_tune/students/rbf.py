"""The radial basis function network of the protein case (Zhou & Chiam 2023, section 5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.students.autograd import AutogradStudent, Raw
from dfkd_tune.utils.strategy import strategy


@strategy
class RBF(AutogradStudent):
    """``sum_h v_h exp(-|x - c_h|^2 / (2 D s_h^2)) + b``: Gaussian bumps with trained centers and widths.

    Args:
        width: number of Gaussian bumps.
    """

    width: Annotated[int, Field(ge=1, le=100_000)] = 100

    has_width: ClassVar[bool] = True

    @property
    def hidden_units(self) -> int:
        """Same as ``width``."""
        return self.width

    def shapes(self, features: int, outputs: int) -> list[tuple[int, ...]]:
        """Shapes of the centers, the logarithms of widths, the output weights and the bias."""
        return [(self.width, features), (self.width,), (self.width, outputs), (outputs,)]

    def structure(self) -> tuple[object, ...]:
        """Key that two students must have in common to share a batched pass; it includes width, as bumps cannot be padded."""
        return ("rbf", self.width)

    def init_params(self, features: int, outputs: int, rng: torch.Generator, dtype: torch.dtype) -> list[Tensor]:
        """Centers drawn from a standard normal distribution, output weights as in ``nn.Linear``."""
        centers = torch.randn(self.width, features, generator=rng, dtype=torch.float64)
        reach = 1.0 / math.sqrt(self.width)
        out = (2 * torch.rand(self.width, outputs, generator=rng, dtype=torch.float64) - 1) * reach
        zeros = torch.zeros(self.width, dtype=torch.float64), torch.zeros(outputs, dtype=torch.float64)
        return [value.to(dtype) for value in (centers, zeros[0], out, zeros[1])]

    def answer(self, weights: Sequence[Tensor], x: Tensor) -> Tensor:
        centers, log_widths, out, bias = weights
        square = x.square().sum(-1, keepdim=True) + centers.square().sum(-1).unsqueeze(1)
        square = torch.baddbmm(square, x, centers.transpose(1, 2), alpha=-2.0).clamp(min=0)
        bumps = torch.exp(-square * torch.exp(-2.0 * log_widths).unsqueeze(1) / (2.0 * x.shape[-1]))
        return torch.baddbmm(bias.unsqueeze(1), bumps, out)

    def module(self, weights: Sequence[Tensor], encoding: Encoding, shift: Tensor, spread: Tensor) -> nn.Module:
        """One member as a float32 network from raw rows to raw outputs."""
        return Raw(_Bumps(self, weights), encoding, shift, spread).eval()

    def widest(self, features: int, outputs: int, max_parameters: int) -> int:
        """Largest number of bumps with at most ``max_parameters`` trained values; 0 if none fits."""
        return max(0, (max_parameters - outputs) // (features + 1 + outputs))


class _Bumps(nn.Module):
    def __init__(self, student: RBF, weights: Sequence[Tensor]) -> None:
        super().__init__()
        self.student = student
        self.weights = nn.ParameterList([nn.Parameter(weight.float(), requires_grad=False) for weight in weights])

    def forward(self, x: Tensor) -> Tensor:
        return self.student.answer([weight.unsqueeze(0) for weight in self.weights], x.unsqueeze(0)).squeeze(0)
