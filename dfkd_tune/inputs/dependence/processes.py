"""Windows whose channels move with a given speed, and images that are smooth: stationary Gaussian copulas.

*Windows.* The normal scores of channel i at the steps have the Toeplitz matrix ``R_i`` of its autocorrelations, with the symmetric
square root ``A_i``. The covariance of the scores of channel i at step t and channel j at step s is ``Q_ij (A_i A_j)_ts``, so that
each channel is stationary. ``Q`` is scaled so that the correlation of two channels at the same step, on average over the
steps, is the one that gives the declared rank correlation; where no process has these correlations, the nearest positive
definite ``Q`` replaces it.

*Images.* The normal scores of two pixels of a channel correlate by ``exp(-distance / length)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from dfkd_tune.inputs.dependence.base import Mixer, Mixing, Values
from dfkd_tune.inputs.dependence.copula import LEAST_EIGENVALUE, between, itself, matrix_of, positive
from dfkd_tune.inputs.dependence.lengths import Lengths
from dfkd_tune.inputs.dependence.rank_correlation import Rows, strongest
from dfkd_tune.inputs.dependence.speeds import Speeds
from dfkd_tune.inputs.dependence.stationary import continued, nearest, square_root
from dfkd_tune.layouts.axes import CHANNELS, HEIGHT, STEPS, WIDTH, Axes

MOST_STEPS = 2_048
"""Largest number of steps of a window whose autocorrelations are known; one factor takes 32 MiB a channel."""
MOST_PIXELS = 4_096
"""Largest number of pixels of an image with a correlation length; its factor takes 128 MiB."""
LEAST_OVERLAP = 1e-6
SHOWN_LAGS = 3
"""Number of autocorrelations that are listed for each channel."""


@dataclass(frozen=True)
class WindowProcess:
    """How the channels of a window move, and how they go together.

    Args:
        axes: the window.
        autocorrelations: for each channel its rank autocorrelations from lag 1; empty if its steps are independent.
        correlation: lower triangle of the rank correlations between channels at the same step; empty if they are independent.
    """

    axes: Axes
    autocorrelations: tuple[tuple[float, ...], ...]
    correlation: Rows = ()

    def mixings(self, values: Values) -> list[Mixing]:
        """One mixing, a group for each channel; arguments are those of ``Dependence``."""
        columns = self.axes.columns(CHANNELS, STEPS)
        known = values(columns[:, 0].tolist())
        along = torch.stack([self._root(i, known[:, i]) for i in range(len(columns))])
        across = torch.eye(len(columns), dtype=torch.float64)
        if self.correlation:
            overlap = torch.einsum("ist,jst->ij", along, along) / along.shape[1]
            wanted = between(matrix_of(self.correlation), known) / overlap.clamp(min=LEAST_OVERLAP)
            across = torch.linalg.cholesky(positive(wanted.clamp(-1, 1).fill_diagonal_(1.0)))
        return [Mixing(columns, across, along)]

    def _root(self, channel: int, values: Tensor) -> Tensor:
        """The square root ``A_i`` of one channel."""
        steps, told = self.axes.size(STEPS), self.autocorrelations[channel]
        latent = itself(torch.tensor(told, dtype=torch.float64), values)
        return square_root(continued(nearest(torch.cat([latent.new_ones(1), latent])), steps))

    def tree(self) -> Any:
        """The declaration as plain values."""
        return {"autocorrelations": self.autocorrelations, "correlation": self.correlation}

    def in_words(self, names: Sequence[str]) -> list[tuple[list[str], str]]:
        """How each channel moves, and the strongest correlations between them; arguments are those of ``Dependence``."""
        columns = self.axes.columns(CHANNELS, STEPS)
        first: list[int] = columns[:, 0].tolist()
        channels = [names[i].removesuffix("[0]") for i in first]
        said = [
            ([name], f"rank correlation with itself {_lags(told)}")
            for name, told in zip(channels, self.autocorrelations, strict=True)
            if told
        ]
        pairs = f"rank correlations at the same step, the strongest {strongest(channels, self.correlation)}"
        return said + ([(channels, pairs)] if self.correlation else [])


@dataclass(frozen=True)
class ImageField:
    """How far the pixels of an image go together.

    Args:
        axes: the image.
        length: distance in pixels at which the correlation of two pixels has decayed to 1/e; None if they are independent.
        correlation: lower triangle of the rank correlations between channels of the same pixel; empty if they are independent.
    """

    axes: Axes
    length: float | None
    correlation: Rows = ()

    def mixings(self, values: Values) -> list[Mixing]:
        """One mixing, a group for each channel; arguments are those of ``Dependence``."""
        height, width, channels = (self.axes.size(name) for name in (HEIGHT, WIDTH, CHANNELS))
        across = torch.eye(channels, dtype=torch.float64)
        if self.correlation:  # the sine rule: pixels have no ties that all of a channel share
            latent = 2 * torch.sin(torch.pi / 6 * matrix_of(self.correlation))
            across = torch.linalg.cholesky(positive(latent.fill_diagonal_(1.0)))
        along = _smooth(height, width, self.length)
        return [Mixing(self.axes.columns(CHANNELS, HEIGHT, WIDTH).flatten(1), across, along[None])]

    def tree(self) -> Any:
        """The declaration as plain values."""
        return {"length": self.length, "correlation": self.correlation}

    def in_words(self, names: Sequence[str]) -> list[tuple[list[str], str]]:
        """How far pixels go together, and channels; arguments are those of ``Dependence``."""
        every: list[int] = self.axes.columns(CHANNELS, HEIGHT, WIDTH).flatten().tolist()
        own = [names[i] for i in every]
        said = [] if self.length is None else [(own, f"neighbors go together over {self.length:g} pixels")]
        channels = [f"channel {i}" for i in range(self.axes.size(CHANNELS))]
        pairs = f"rank correlations in the same pixel, the strongest {strongest(channels, self.correlation)}"
        return said + ([(own, pairs)] if self.correlation else [])


Part = WindowProcess | ImageField | Speeds | Lengths
"""How the values of one window or image go together."""


@dataclass(frozen=True)
class Processes:
    """The windows and images of a teacher, independent of each other.

    Args:
        parts: one for each window or image of which more is known than single values, one for the channels of each window that
            move at unknown speeds, and one for each image whose pixels go together over unknown lengths.
    """

    parts: tuple[Part, ...]

    def mixings(self, values: Values) -> list[Mixer]:
        """The mixings of all parts; arguments are those of ``Dependence``."""
        return [mixing for part in self.parts for mixing in part.mixings(values)]

    def tree(self) -> Any:
        """The declaration as plain values."""
        return [[part.axes.start, part.tree()] for part in self.parts]

    def in_words(self, names: Sequence[str]) -> list[tuple[list[str], str]]:
        """The words of all parts; arguments are those of ``Dependence``."""
        return [said for part in self.parts for said in part.in_words(names)]


@lru_cache(maxsize=2)
def _smooth(height: int, width: int, length: float | None) -> Tensor:
    """Cholesky factor ``(height * width, height * width)`` of the pixels' correlations."""
    if length is None:
        return torch.eye(height * width, dtype=torch.float64)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()], dim=1).double()
    matrix = torch.exp(-torch.cdist(places, places) / length).fill_diagonal_(1 + LEAST_EIGENVALUE)
    return torch.linalg.cholesky(matrix / (1 + LEAST_EIGENVALUE))


def _lags(told: Sequence[float]) -> str:
    shown = ", ".join(f"{value:.2f}" for value in told[:SHOWN_LAGS])
    rest = f" and {len(told) - SHOWN_LAGS} later lags" if len(told) > SHOWN_LAGS else ""
    return f"{shown} one, two, ... steps later{rest}" if len(told) > 1 else f"{shown} one step later"
