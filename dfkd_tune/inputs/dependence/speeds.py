"""Channels of a window of which nothing says how fast they move: every row draws its own speeds.

Real channels are seldom white noise: some stand almost still over a window, some drift, some jitter. So the normal scores of a channel
in a row are a stationary autoregressive process, ``s_t = a s_(t-1) + noise`` with ``a = exp(-1 / tau)``. The time constant ``tau`` is
log-uniform, from almost white noise to almost constant. Each score stays standard normal.

The speed of a row must follow from the row's points of the unit cube alone, so that quasi-random points have one too. It is the sum of the
channel's probabilities modulo 1. That is uniform, and independent of all but one of them.
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

FASTEST, SLOWEST = 0.2, 40.0
"""Shortest time constant in steps, and longest one in windows."""


@dataclass(frozen=True)
class Moved:
    """Makes processes of independent normal scores.

    Args:
        columns: ``(K, L)`` columns of K channels at L steps.
    """

    columns: Tensor

    def of(self, scores: Tensor) -> Tensor:
        """Move scores ``(N, D)``, float64; other columns stay as they are."""
        columns = self.columns.to(scores.device)
        noise = scores[:, columns]  # (N, K, L)
        a = speeds(noise)
        deviation = (1 - a.square()).sqrt()  # of the noise of a process with variance 1
        moved = [noise[..., 0]]
        for step in range(1, columns.shape[1]):
            moved.append(a * moved[-1] + deviation * noise[..., step])
        return scores.index_copy(1, columns.T.flatten(), torch.stack(moved, dim=1).flatten(1))


def speeds(scores: Tensor) -> Tensor:
    """The coefficients ``a`` ``(N, K)`` of the processes of scores ``(N, K, L)``."""
    share = torch.special.ndtr(scores).sum(-1) % 1
    reach = math.log(SLOWEST * scores.shape[-1] / FASTEST)
    return torch.exp(-torch.exp(-share * reach) / FASTEST)


@dataclass(frozen=True)
class Speeds:
    """Channels that move at unknown speeds, independently of each other.

    Args:
        axes: the window, of at least three steps.
        channels: indices of the channels.
    """

    axes: Axes
    channels: tuple[int, ...]

    def mixings(self, values: Values) -> list[Moved]:
        """One for all channels; arguments are those of ``Dependence``."""
        return [Moved(self.axes.columns(CHANNELS, STEPS)[list(self.channels)])]

    def tree(self) -> Any:
        """The declaration as plain values."""
        return {"unknown speeds": self.channels}

    def in_words(self, names: Sequence[str]) -> list[tuple[list[str], str]]:
        """Which channels; arguments are those of ``Dependence``."""
        first: list[int] = self.axes.columns(CHANNELS, STEPS)[list(self.channels), 0].tolist()
        channels = [names[i].removesuffix("[0]") for i in first]
        return [(channels, "each row moves at a speed of its own")]
