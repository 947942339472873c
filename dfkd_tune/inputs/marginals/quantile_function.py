"""The distribution of a feature with declared quantiles.

Notation: ``s = ndtri(u)`` is the normal score of a probability ``u``. Values are piecewise linear in ``s`` between the
declared quantiles. Hence two quantiles of a normal distribution define all of it, and equal neighbors define an atom.

Nothing is known beyond the outermost quantiles. There the curve continues linearly in ``s`` until a hundredth of the
remaining probability (``BEYOND``) is left, and is constant from there: the distribution ends. Its slope is the smaller
of two: that of the outermost piece, and that over the outermost ``CHORD`` of scores. So a heavy tail or a narrow, noisy
piece does not extend further than the quantiles support, and a flat piece, which is an atom, stays flat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

BEYOND = 0.01
"""Share of the probability beyond an outermost quantile that remains where the curve ends."""
CHORD = 0.25
"""Width, in normal scores, over which the slope of an extension is limited."""


@dataclass(frozen=True)
class Curve:
    """A quantile function, linear in normal scores between its knots and constant beyond them.

    Args:
        scores: ``(M,)`` normal scores of the knots, float64, strictly increasing.
        values: ``(M,)`` values at the knots in raw units, float64, non-decreasing.
    """

    scores: Tensor
    values: Tensor

    @property
    def support(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        return float(self.values[0]), float(self.values[-1])

    def at(self, u: Tensor) -> Tensor:
        """Values at probabilities ``u`` in (0, 1), any shape, float64."""
        s = torch.special.ndtri(u.double()).contiguous()
        scores, values = self.scores.to(s), self.values.to(s)
        right = torch.bucketize(s, scores).clamp(1, len(scores) - 1)
        low, high = values[right - 1], values[right]
        share = (s - scores[right - 1]) / (scores[right] - scores[right - 1])
        return low + (high - low) * share.clamp(0, 1)

    @cached_property
    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation, from the truncated normal moments of each piece."""
        s, middle = self.scores, self.values[len(self.values) // 2]
        v = self.values - middle  # a large mean would drown a small spread
        below, density = torch.special.ndtr(s), torch.exp(-0.5 * s * s) / (2 * torch.pi) ** 0.5
        mass, first = below.diff(), -density.diff()
        second = mass - (s * density).diff()
        gradient = v.diff() / s.diff()
        level = v[:-1] - gradient * s[:-1]
        mean = (level * mass + gradient * first).sum()
        square = (level**2 * mass + 2 * level * gradient * first + gradient**2 * second).sum()
        ends = torch.stack([below[0], torch.special.ndtr(-s[-1])])
        mean = mean + (ends * v[[0, -1]]).sum()
        square = square + (ends * v[[0, -1]] ** 2).sum()
        return float(mean + middle), float((square - mean**2).clamp(min=0).sqrt())


def curve(quantiles: Mapping[float, float], edges: Sequence[float] | None = None) -> Curve:
    """Build the quantile function that passes through declared quantiles.

    Args:
        quantiles: probability -> value, at least two, as checked by ``Feature``.
        edges: low and high end of the range, which the extension never crosses.
    """
    return _curve(tuple(quantiles.items()), None if edges is None else (edges[0], edges[1]))


@lru_cache(maxsize=1024)  # reading a feature needs its curve several times
def _curve(quantiles: tuple[tuple[float, float], ...], edges: tuple[float, float] | None) -> Curve:
    p, v = torch.tensor(quantiles, dtype=torch.float64).T
    s = torch.special.ndtri(p)
    first, last = torch.special.ndtri(BEYOND * p[:1]), -torch.special.ndtri(BEYOND * (1 - p[-1:]))
    low = v[0] + _gradient(s, v) * (first - s[0])
    high = v[-1] + _gradient(-s.flip(0), -v.flip(0)) * (last - s[-1])
    if edges is not None:
        low, high = low.clamp(min=edges[0]), high.clamp(max=edges[1])
    return Curve(torch.cat([first, s, last]), torch.cat([low, v, high]))


def _gradient(s: Tensor, v: Tensor) -> Tensor:
    """Slope of the extension below the first knot."""
    far = min(int((s < s[0] + CHORD).sum()), len(s) - 1)
    return torch.minimum((v[1] - v[0]) / (s[1] - s[0]), (v[far] - v[0]) / (s[far] - s[0]))
