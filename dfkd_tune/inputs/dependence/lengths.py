"""Images of which nothing says how far pixels go together: every image draws its own correlation lengths.

Real images are seldom white noise: neighboring pixels are alike, and so are the channels of a pixel. So the normal scores of a channel
are a stationary process of order two (``speeds``) along both dimensions of the image, with the same two lag coefficients. The lengths are
log-uniform, from almost white noise to almost one color. Two channels of an image have the same lengths, and their scores in a
pixel the correlation ``r``, uniform from 0 to 1. Each score stays standard normal.

The lengths and ``r`` of a row depend on the row's points of the unit cube alone, as in ``speeds``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dfkd_tune.inputs.dependence.base import Values
from dfkd_tune.inputs.dependence.speeds import autoregressive, lag_coefficients
from dfkd_tune.layouts.axes import CHANNELS, HEIGHT, WIDTH, Axes

LONGEST = 1.0
"""Longest correlation length, in sides of the image."""


@dataclass(frozen=True)
class Fields:
    """A map of independent normal scores to smooth images.

    Args:
        columns: ``(C, H, W)`` columns of the pixels.
    """

    columns: Tensor

    def of(self, scores: Tensor) -> Tensor:
        """Map scores ``(N, D)``, float64, to a tensor of the same shape; other columns stay as they are."""
        columns = self.columns.to(scores.device)
        noise = scores[:, columns]  # (N, C, H, W)
        places = torch.special.ndtr(noise.flatten(2)).sum(-1) % 1  # (N, C), each uniform
        a, b = lag_coefficients(places[:, :1], LONGEST * max(self.columns.shape[1:]))
        smooth = autoregressive(noise.movedim(2, 0), a[..., None], b[..., None])
        smooth = autoregressive(smooth.movedim(-1, 0), a, b)  # (W, H, N, C)
        if len(self.columns) > 1:
            smooth = _alike(smooth, places[:, 1:2])
        return scores.index_copy(1, columns.permute(2, 1, 0).flatten(), smooth.permute(2, 0, 1, 3).flatten(1))


def _alike(scores: Tensor, r: Tensor) -> Tensor:
    """Scores ``(..., C)`` whose channels have the correlation ``r``, by the symmetric root of the correlation matrix."""
    channels = scores.shape[-1]
    own, common = (1 - r).sqrt(), (1 - r + channels * r).sqrt()
    return own * scores + (common - own) * scores.mean(-1, keepdim=True)


@dataclass(frozen=True)
class Lengths:
    """An image whose pixels go together over unknown lengths.

    Args:
        axes: the image, of at least three pixels in height and width.
    """

    axes: Axes

    def mixings(self, values: Values) -> list[Fields]:
        """One for all channels; arguments are those of ``Dependence``."""
        return [Fields(self.axes.columns(CHANNELS, HEIGHT, WIDTH))]

    def tree(self) -> Any:
        """The declaration as plain values."""
        return "unknown lengths"

    def in_words(self, names: Sequence[str]) -> list[tuple[list[str], str]]:
        """All pixels; arguments are those of ``Dependence``."""
        every: list[int] = self.axes.columns(CHANNELS, HEIGHT, WIDTH).flatten().tolist()
        return [([names[i] for i in every], "pixels go together over lengths of each image's own")]
