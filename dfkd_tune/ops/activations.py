"""Activations with their derivatives. Each has f(0) = 0, so that zero-padded hidden units do not affect outputs.

``tanh`` is computed as ``1 - 2 sigmoid(-2 z)``, which is exact up to rounding and several times cheaper on a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Activation:
    """An elementwise function of ``factor * z``; the layer before it multiplies by the factor at no cost.

    Args:
        value: ``factor * z -> f(z)``, differentiable by autograd; may overwrite its argument.
        both: ``factor * z -> (f(z), f'(z))``, both differentiable by autograd; may overwrite its argument.
        curve: ``(factor * z, f, f') -> f''``; use it only if ``both`` does not overwrite its argument.
        module: the activation as a module.
        factor: factor of the argument.
    """

    value: Callable[[Tensor], Tensor]
    both: Callable[[Tensor], tuple[Tensor, Tensor]]
    curve: Callable[[Tensor, Tensor, Tensor], Tensor]
    module: type[nn.Module]
    factor: float = 1.0


@cache
def _one(dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.ones((), dtype=dtype, device=device)


def _tanh(z: Tensor) -> Tensor:
    return torch.sub(_one(z.dtype, z.device), z.sigmoid_(), alpha=2.0)


def _tanh_both(z: Tensor) -> tuple[Tensor, Tensor]:
    one = _one(z.dtype, z.device)
    h = torch.sub(one, z.sigmoid_(), alpha=2.0)
    return h, torch.addcmul(one, h, h, value=-1.0)


def _tanh_curve(z: Tensor, h: Tensor, d: Tensor) -> Tensor:
    return (h * d).mul_(-2.0)


def _relu_both(z: Tensor) -> tuple[Tensor, Tensor]:
    return torch.relu(z), (z > 0).to(z.dtype)


def _silu_both(z: Tensor) -> tuple[Tensor, Tensor]:
    s = torch.sigmoid(z)
    h = z * s
    return h, s + h * (1.0 - s)


def _silu_curve(z: Tensor, h: Tensor, d: Tensor) -> Tensor:
    s = torch.sigmoid(z)
    return s * (1.0 - s) * (2.0 + z * (1.0 - 2.0 * s))


def _gelu_both(z: Tensor) -> tuple[Tensor, Tensor]:
    below = torch.special.ndtr(z)
    return z * below, below + z * torch.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)


def _gelu_curve(z: Tensor, h: Tensor, d: Tensor) -> Tensor:
    return (2.0 - z * z) * torch.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)


def _elu_both(z: Tensor) -> tuple[Tensor, Tensor]:
    h = F.elu(z)
    return h, torch.where(z > 0, 1.0, h + 1.0)


def _elu_curve(z: Tensor, h: Tensor, d: Tensor) -> Tensor:
    return torch.where(z > 0, 0.0, h + 1.0)


ACTIVATIONS = {
    "tanh": Activation(_tanh, _tanh_both, _tanh_curve, nn.Tanh, factor=-2.0),
    "relu": Activation(torch.relu, _relu_both, lambda z, h, d: torch.zeros_like(z), nn.ReLU),
    "silu": Activation(F.silu, _silu_both, _silu_curve, nn.SiLU),
    "gelu": Activation(F.gelu, _gelu_both, _gelu_curve, nn.GELU),
    "elu": Activation(F.elu, _elu_both, _elu_curve, nn.ELU),
}
