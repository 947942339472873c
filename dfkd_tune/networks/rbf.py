"""Gaussian bumps and a linear layer, as they are stored and exported."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from dfkd_tune.networks.base import ShapedArchitecture
from dfkd_tune.utils.strategy import strategy


@strategy
class RBFArchitecture(ShapedArchitecture):
    """Gaussian bumps over encoded rows, whose shape does not matter; arguments as for ``ShapedArchitecture``."""

    kind: ClassVar[str] = "rbf"

    def network(self) -> nn.Module:
        """The network from raw rows to raw outputs, with random weights."""
        return RBFNetwork(self)


class RBFNetwork(nn.Module):
    """``sum_h v_h exp(-|x - c_h|^2 / (2 E s_h^2)) + b`` of encoded rows ``x``, with ``log_widths`` for ``log s``."""

    def __init__(self, about: RBFArchitecture) -> None:
        super().__init__()
        self.encode = about.encoding.module()
        self.centers = nn.Parameter(torch.randn(about.width, about.encoding.width))
        self.log_widths = nn.Parameter(torch.zeros(about.width))
        self.out = nn.Linear(about.width, about.outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.encode(x)
        square = x.square().sum(-1, keepdim=True) + self.centers.square().sum(-1)
        square = torch.addmm(square, x, self.centers.T, alpha=-2.0).clamp(min=0)
        return self.out(torch.exp(-square * torch.exp(-2.0 * self.log_widths) / (2.0 * x.shape[-1])))
