"""The channels of a window whose autocorrelation is not known: every row draws its own speeds.

Real channels are seldom white noise: some stand almost still over a window, some drift, some jitter. So the normal scores of a channel
in a row are a stationary autoregressive process of order two, ``(1 - a L)(1 - b L) s = noise`` with the lag operator ``L``,
``a = exp(-1 / tau)`` and ``b = exp(-1 / sigma)``. The time constants ``tau`` and ``sigma`` are log-uniform, from almost white noise to
almost constant. Each score stays standard normal.

The speed of a row depends on the row's points of the unit cube alone, so that quasi-random points have one too. It is the sum of the
channel's probabilities modulo 1. That sum is uniform, and independent of all but one of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dfkd_tune.inputs.dependence.base import Values
from dfkd_tune.layouts.axes import CHANNELS, STEPS, Axes

SHORTEST, LONGEST = 0.2, 40.0
"""Shortest time constant in steps, and longest one in windows."""
TIME_CONSTANTS = 1_024
"""Number of time constants ``tau``; the rest of the sum gives ``sigma``."""


@dataclass(frozen=True)
class Autoregression:
    """A map of independent normal scores to autoregressive processes, one for each channel of each row.

    Args:
        columns: ``(K, L)`` columns of K channels at L steps.
    """

    columns: Tensor

    def of(self, scores: Tensor) -> Tensor:
        """Map scores ``(N, D)``, float64, to a tensor of the same shape; other columns stay as they are."""
        columns = self.columns.to(scores.device)
        noise = scores[:, columns]  # (N, K, L)
        process = autoregressive(noise.movedim(-1, 0), *speeds(noise))
        return scores.index_copy(1, columns.T.flatten(), process.transpose(0, 1).flatten(1))


def autoregressive(noise: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Stationary processes of order two from independent normal scores ``(L, ...)``, in a tensor of the same shape.

    Args:
        noise: scores along the first dimension, of length two at least.
        a, b: lag coefficients, of a shape that broadcasts to ``noise[0]``.
    """
    one, both = 1 - a * b, 1 + a * b
    left = (1 - a.square()) * (1 - b.square())
    deviation = (left * one / both).sqrt()  # of the noise of a process with variance 1
    process = [noise[0]]
    process.append((a + b) / both * process[0] + left.sqrt() / both * noise[1])
    for score in noise[2:]:
        process.append((a + b) * process[-1] - a * b * process[-2] + deviation * score)
    return torch.stack(process)


def speeds(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Both lag coefficients ``a`` and ``b``, ``(N, K)`` each, of the processes of scores ``(N, K, L)``."""
    return lag_coefficients(torch.special.ndtr(scores).sum(-1) % 1, LONGEST * scores.shape[-1])


def lag_coefficients(place: Tensor, longest: float) -> tuple[Tensor, Tensor]:
    """Two lag coefficients from one uniform number each: those of log-uniform time constants up to ``longest`` steps."""
    place = place * TIME_CONSTANTS
    reach = math.log(longest / SHORTEST)
    shares = (place.floor() / TIME_CONSTANTS, place % 1)
    slow, other = (torch.exp(-torch.exp(-share * reach) / SHORTEST) for share in shares)
    return slow, other


@dataclass(frozen=True)
class Speeds:
    """Channels that move at unknown speeds, independently of each other.

    Args:
        axes: the window, of at least three steps.
        channels: indices of the channels.
    """

    axes: Axes
    channels: tuple[int, ...]

    def mixings(self, values: Values) -> list[Autoregression]:
        """One for all channels; arguments are those of ``Dependence``."""
        return [Autoregression(self.axes.columns(CHANNELS, STEPS)[list(self.channels)])]

    def tree(self) -> Any:
        """The declaration as plain values."""
        return {"unknown speeds": self.channels}

    def in_words(self, names: Sequence[str]) -> list[tuple[list[str], str]]:
        """Which channels; arguments are those of ``Dependence``."""
        first: list[int] = self.axes.columns(CHANNELS, STEPS)[list(self.channels), 0].tolist()
        channels = [names[i].removesuffix("[0]") for i in first]
        return [(channels, "each row moves at a speed of its own")]
