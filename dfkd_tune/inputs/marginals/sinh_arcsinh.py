"""Skewed, heavy-tailed and correlated features: a Gaussian copula with sinh-arcsinh marginals, in standardized units.

With independent standard normal scores ``s``, ``y = s @ mixing.T`` and ``v = sinh(exp(tails) asinh(y) + skew)`` (Jones
& Pewsey 2009, in the form that makes both parameters 0 at the normal distribution), a feature is ``(v - m) / d`` with
``m`` and ``d`` the mean and standard deviation of ``v``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

NODES, WEIGHTS = (torch.from_numpy(part) for part in np.polynomial.hermite_e.hermegauss(64))
WEIGHTS = WEIGHTS / WEIGHTS.sum()


@dataclass(frozen=True)
class SinhArcsinh:
    """A joint distribution of D features, each with mean 0 and variance 1.

    Args:
        mixing: ``(D, D)`` matrix with unit rows; ``mixing @ mixing.T`` is the correlation matrix of the normal scores.
        skew: ``(D,)`` skewness parameters; positive values lengthen the right tail.
        tails: ``(D,)`` tail parameters; positive values make tails heavier than normal.
    """

    mixing: Tensor
    skew: Tensor
    tails: Tensor

    def push(self, scores: Tensor) -> Tensor:
        """Transform independent normal scores ``(N, D)`` into samples ``(N, D)``, in the dtype of ``mixing``."""
        mean, std = self._moments()
        return (self._turn(scores.to(self.mixing) @ self.mixing.T) - mean) / std

    def on(self, device: torch.device) -> SinhArcsinh:
        """Return a copy with its tensors on a device."""
        return SinhArcsinh(self.mixing.to(device), self.skew.to(device), self.tails.to(device))

    def _turn(self, y: Tensor) -> Tensor:
        return torch.sinh(torch.exp(self.tails) * torch.asinh(y) + self.skew)

    def _moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation ``(D,)`` before standardization, by Gauss-Hermite quadrature."""
        values, weights = self._turn(NODES.to(self.skew)[:, None]), WEIGHTS.to(self.skew)
        mean = weights @ values
        return mean, (weights @ (values - mean).square()).sqrt()
