"""Infer rank correlations from the counts of training rows at the splits of trees.

A threshold becomes a normal score. A row with the scores ``y`` goes below it with probability
``ndtr((score - y) / SOFTNESS)``. The correlations of ``y``, a Gaussian copula, maximize the likelihood of all counts,
by L-BFGS.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dfkd_tune.ops.lbfgs import descend
from dfkd_tune.prior_inference.marginals import Margin
from dfkd_tune.prior_inference.tree_splits import Split

SPLITS = 2_000
"""Largest number of splits, chosen by their number of rows."""
SOBOL_POINTS = 1_024
"""Number of Sobol points that pass through the trees."""
EVALUATIONS = 30
"""Number of evaluations of the likelihood and its gradient on these points."""
SOFTNESS = 0.4
"""Standard deviation of the noise that smooths a split, in normal scores; correlations are corrected for it."""
RIDGE = 1e-4
SURELY = 1e-3
"""Share of the rows that is added to both sides of a split, to avoid probabilities of 0."""


@dataclass(frozen=True)
class Level:
    """All splits of one depth, as tensors ``(S,)``.

    Args:
        feature, score: index of the feature, and the threshold as a normal score.
        parent: index of the parent split in the level above.
        went_below: whether rows come from the lower side of the parent.
        below, above: number of rows on either side.
    """

    feature: Tensor
    score: Tensor
    parent: Tensor
    went_below: Tensor
    below: Tensor
    above: Tensor


def rank_correlations(splits: Sequence[Split], margins: Mapping[int, Margin], width: int) -> list[list[float]]:
    """Lower triangle of the Spearman rank correlations that maximize the likelihood of the counts.

    Args:
        splits: the splits on all features.
        margins: feature index -> marginal distribution.
        width: number of features.
    """
    levels = _levels(splits, margins)
    points = torch.quasirandom.SobolEngine(width, scramble=True, seed=0).draw(SOBOL_POINTS, dtype=torch.float64)
    scores = torch.special.ndtri(points.clamp(1e-5, 1 - 1e-5)).float()
    mixing = torch.eye(width).requires_grad_()

    def loss() -> Tensor:
        mixed = mixing / mixing.norm(dim=1, keepdim=True)
        together = ((mixed @ mixed.T).square().sum() - width) / 2
        return _negative_log_likelihood(levels, mixed @ scores.T) + RIDGE * together / width

    descend([mixing], loss, EVALUATIONS)
    with torch.no_grad():
        mixed = (mixing / mixing.norm(dim=1, keepdim=True)).double()
        latent = mixed @ mixed.T / (1 + SOFTNESS**2)
    return rank_rows(latent)


def rank_rows(latent: Tensor) -> list[list[float]]:
    """Lower triangle of the rank correlations of normal scores with correlations ``latent`` (Pearson 1907)."""
    ranks = (6 / math.pi * torch.asin(latent.clamp(-1, 1) / 2)).tolist()
    return [[*row[:i], 1.0] for i, row in enumerate(ranks)]


def _levels(splits: Sequence[Split], margins: Mapping[int, Margin]) -> list[Level]:
    order = sorted(range(len(splits)), key=lambda i: (-splits[i].rows, splits[i].depth))[:SPLITS]
    by_depth: dict[int, list[int]] = {}
    for i in sorted(order):
        by_depth.setdefault(splits[i].depth, []).append(i)  # parents have more rows, so they are kept
    place = {i: k for here in by_depth.values() for k, i in enumerate(here)}
    levels = []
    for depth in sorted(by_depth):
        here = [splits[i] for i in by_depth[depth]]
        below = torch.tensor([margins[s.feature].at(s.threshold) for s in here], dtype=torch.float64)
        levels.append(
            Level(
                feature=torch.tensor([s.feature for s in here]),
                score=torch.special.ndtri(below).clamp(-4, 4).mul(math.sqrt(1 + SOFTNESS**2)).float(),
                parent=torch.tensor([place.get(s.parent, 0) for s in here]),
                went_below=torch.tensor([s.went_below for s in here]),
                below=torch.tensor([s.below for s in here]),
                above=torch.tensor([s.above for s in here]),
            )
        )
    return levels


def _negative_log_likelihood(levels: Sequence[Level], y: Tensor) -> Tensor:
    """Negative log-likelihood per counted row, for the normal scores ``y (D, N)``."""
    surprise, rows = y.new_zeros(()), 0.0
    share = goes = y.new_ones(1, y.shape[1])
    for depth, level in enumerate(levels):
        came = share[level.parent] if depth else share.expand(len(level.parent), -1)
        if depth:
            before = goes[level.parent]
            came = came * torch.where(level.went_below[:, None], before, 1 - before)
        goes, share = torch.special.ndtr((level.score[:, None] - y[level.feature]) / SOFTNESS), came
        unsure = SURELY * y.shape[1]
        below = ((share * goes).sum(1) + unsure) / (share.sum(1) + 2 * unsure)
        surprise = surprise - (level.below * below.log() + level.above * (1 - below).log()).sum()
        rows += float((level.below + level.above).sum())
    return surprise / rows
