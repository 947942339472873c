"""The radial basis function network of the protein case (Zhou & Chiam 2023, section 5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.networks.rbf import RBFArchitecture
from dfkd_tune.students.autograd import AutogradStudent
from dfkd_tune.utils.strategy import strategy


@strategy
class RBF(AutogradStudent):
    """``sum_h v_h exp(-|x - c_h|^2 / (2 D s_h^2)) + b``: Gaussian bumps with trained centers and widths.

    Args:
        width: number of Gaussian bumps.
    """

    width: Annotated[int, Field(ge=1, le=100_000)] = 100

    has_width: ClassVar[bool] = True

    def held(self, columns: Columns) -> int:
        """Each bump's distance, value, and their gradients."""
        return 4 * self.width

    def shapes(self, columns: Columns, outputs: int) -> list[tuple[int, ...]]:
        """Shapes of the centers, the logarithms of widths, the output weights and the bias."""
        return [(self.width, columns.width), (self.width,), (self.width, outputs), (outputs,)]

    def structure(self) -> tuple[object, ...]:
        """Key that two students must have in common to share a batched pass; it includes width, as bumps cannot be padded."""
        return ("rbf", self.width)

    def init_params(self, columns: Columns, outputs: int, rng: torch.Generator, dtype: torch.dtype) -> list[Tensor]:
        """Centers drawn from a standard normal distribution, output weights as in ``nn.Linear``."""
        centers = torch.randn(self.width, columns.width, generator=rng, dtype=torch.float64)
        reach = 1.0 / math.sqrt(self.width)
        out = (2 * torch.rand(self.width, outputs, generator=rng, dtype=torch.float64) - 1) * reach
        zeros = torch.zeros(self.width, dtype=torch.float64), torch.zeros(outputs, dtype=torch.float64)
        return [value.to(dtype) for value in (centers, zeros[0], out, zeros[1])]

    def answer(self, weights: Sequence[Tensor], x: Tensor, columns: Columns) -> Tensor:
        centers, log_widths, out, bias = weights
        square = x.square().sum(-1, keepdim=True) + centers.square().sum(-1).unsqueeze(1)
        square = torch.baddbmm(square, x, centers.transpose(1, 2), alpha=-2.0).clamp(min=0)
        bumps = torch.exp(-square * torch.exp(-2.0 * log_widths).unsqueeze(1) / (2.0 * x.shape[-1]))
        return torch.baddbmm(bias.unsqueeze(1), bumps, out)

    def module(
        self, weights: Sequence[Tensor], columns: Columns, encoding: Encoding, shift: Tensor, spread: Tensor
    ) -> nn.Module:
        """One member as a float32 network from raw rows to raw outputs; the linear layer gives raw outputs."""
        centers, log_widths, out, bias = (weight.double() for weight in weights)
        state = {"centers": centers, "log_widths": log_widths}
        state |= {"out.weight": (out * spread).T, "out.bias": bias * spread + shift}
        made = self.architecture(columns, encoding, len(shift))
        return made.module({name: value.float().contiguous() for name, value in state.items()})

    def architecture(self, columns: Columns, encoding: Encoding, outputs: int) -> RBFArchitecture:
        """The network of one member, as it is stored and exported."""
        return RBFArchitecture(columns, encoding, outputs, self.width)

    def layout(self, columns: Columns, encoding: Encoding, outputs: int) -> dict[str, Any]:
        """Content of ``architecture.yaml``, with which a student's weights can be loaded as a teacher."""
        return self.architecture(columns, encoding, outputs).tree()
