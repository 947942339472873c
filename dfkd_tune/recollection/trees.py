"""What an ensemble of trees recollects of the inputs that it was trained on: their quantiles, and how they go together.

At every split it is on record how many training rows lay on either side. For a feature by itself, the probabilities ``p`` of the cells
between its thresholds are those under which the counts are likeliest, each split choosing among the rows between ``low`` and ``high``:

    max_p sum over splits of below log P(low, t] + above log P(t, high] - (below + above) log P(low, high]

by minorization (Hunter 2004, Annals of Statistics 32), other features left out of account. Features go together as in the Gaussian copula
under which all splits, each among the rows that come to it, are likeliest: a threshold becomes a normal score, a row goes below
with probability ``ndtr((score - y) / SOFTNESS)``, and the correlations of ``y`` are found by L-BFGS.

Trees answer the same beyond their outermost thresholds, however far out. A student does not, so the tails of the quantiles reach far.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .. import machine
from ..inputs import Inputs, Recollected
from ..teachers import Teacher
from .splits import Split, splits_of

SOURCE = "what the teacher's trees counted at their splits"
WIDEST = 256
"""Features beyond which their correlations are too many."""
ROUNDS = 300
"""Of minorization."""
SPLITS = 2_000
"""The ones that most rows came to tell how features go together."""
ROWS = 1_024
"""Points of a Sobol sequence that are sent down the trees."""
EVALUATIONS = 30
"""Of the likelihood and its gradient on these rows, by L-BFGS."""
SOFTNESS = 0.4
"""Of a split, in standard deviations of a normal score: the spread of an error of its own, by which correlations are corrected."""
RIDGE = 1e-4
SURELY = 1e-3
"""Share of the rows that is added to both sides of a split."""
SPACING = 0.005
"""Probability between two quantiles, at least."""
STEEPEST = 4.0
"""Growth of a tail from one tenth of the probability to the next, at most; and it never shrinks."""


@machine.one_thread()
def recollect(teacher: Teacher, inputs: Inputs) -> Inputs | None:
    """Inputs with the quantiles and rank correlations that a teacher's trees tell of; None where it is made of none.

    Args:
        teacher: in raw units.
        inputs: as declared, without quantiles and ranges.
    """
    splits = splits_of(teacher.estimator) if teacher.estimator is not None else []
    if not splits:
        return None
    of_feature: dict[int, list[Split]] = {}
    for split in splits:
        of_feature.setdefault(split.feature, []).append(split)
    margins = {d: margin(here) for d, here in of_feature.items()}
    features = [
        replace(feature, quantiles=quantiles(margins[d], feature.std or 1.0)) if d in margins else feature
        for d, feature in enumerate(inputs.features)
    ]
    ranks = rank_correlations(splits, margins, len(inputs)) if 1 < len(inputs) <= WIDEST else None
    return Inputs(features, inputs.simplex, ranks, recollected=Recollected(SOURCE, inputs))


@dataclass(frozen=True)
class Margin:
    """One feature's distribution function at its thresholds.

    Args:
        thresholds: rising.
        below: probability of at most each of them, rising, within 0 and 1.
    """

    thresholds: np.ndarray
    below: np.ndarray

    def at(self, threshold: float) -> float:
        """Probability of at most one of the thresholds."""
        return float(self.below[np.searchsorted(self.thresholds, threshold)])


def margin(splits: Sequence[Split]) -> Margin:
    """The likeliest distribution function of the one feature that all these splits cut."""
    thresholds = np.unique([split.threshold for split in splits])
    edges = np.concatenate([[-np.inf], thresholds, [np.inf]])
    low, cut, high = (
        np.searchsorted(edges, [getattr(s, name) for s in splits]) for name in ("low", "threshold", "high")
    )
    below, above = (np.array([getattr(s, name) for s in splits]) for name in ("below", "above"))
    p = np.full(len(thresholds) + 1, 1 / (len(thresholds) + 1))
    tiny = 1e-9
    for _ in range(ROUNDS):
        reached = np.concatenate([[0.0], p.cumsum()])
        left, right = (
            np.maximum(b - a, tiny) for a, b in ((reached[low], reached[cut]), (reached[cut], reached[high]))
        )
        gained, asked = np.zeros((2, len(edges)))
        for total, start, stop, share in (
            (gained, low, cut, below / left),
            (gained, cut, high, above / right),
            (asked, low, high, (below + above) / (left + right)),
        ):
            np.add.at(total, start, share)
            np.add.at(total, stop, -share)
        p = np.maximum(p * gained.cumsum()[:-1] / np.maximum(asked.cumsum()[:-1], tiny), tiny)
        p /= p.sum()
    return Margin(thresholds, p.cumsum()[:-1])


def quantiles(margin: Margin, scale: float) -> dict[float, float]:
    """A feature's quantiles by rising probability, far tails included.

    Args:
        margin: of the feature.
        scale: how far a tail reaches where thresholds do not tell: the feature's standard deviation.
    """
    p, t = margin.below, margin.thresholds
    kept = [0]
    for i in range(1, len(t) - 1):
        if p[i] - p[kept[-1]] > SPACING < p[-1] - p[i]:
            kept.append(i)
    kept += [len(t) - 1] if len(t) > 1 else []
    inner = {p[i]: t[i] for i in kept}
    mirrored = _tail(1 - p[::-1], -t[::-1], scale)
    low = {1 - probability: -value for probability, value in reversed(mirrored.items())}
    every = low | inner | _tail(p, t, scale)
    return {float(probability): float(value) for probability, value in every.items()}


def _tail(p: np.ndarray, t: np.ndarray, scale: float) -> dict[float, float]:
    """Quantiles beyond the last threshold: each tenth of the probability reaches as much farther than the one before as that did."""
    beyond = 1 - p[-1]
    outer, inner, middle = (float(np.interp(1 - min(share * beyond, 0.5), p, t)) for share in (1, 10, 100))
    step, before = outer - inner, inner - middle
    growth = min(max(step / before, 1.0), STEEPEST) if before > 0 else 1.0
    step = growth * step or scale
    return {1 - beyond / 10: t[-1] + step, 1 - beyond / 100: t[-1] + step + growth * step}


@dataclass(frozen=True)
class Level:
    """Splits as many steps below the roots as each other, ``(S,)`` each.

    Args:
        feature, score: what is cut, and the threshold as a normal score.
        parent, went_below: place among the splits of the level above, and which way rows went there.
        below, above: rows on either side.
    """

    feature: Tensor
    score: Tensor
    parent: Tensor
    went_below: Tensor
    below: Tensor
    above: Tensor


def rank_correlations(splits: Sequence[Split], margins: Mapping[int, Margin], width: int) -> list[list[float]]:
    """The lower triangle of Spearman's, under which what the splits counted is likeliest.

    Args:
        splits: of all features.
        margins: of each by itself.
        width: number of features.
    """
    levels = _levels(splits, margins)
    points = torch.quasirandom.SobolEngine(width, scramble=True, seed=0).draw(ROWS, dtype=torch.float64)
    scores = torch.special.ndtri(points.clamp(1e-5, 1 - 1e-5)).float()
    mixing = torch.eye(width).requires_grad_()
    search = torch.optim.LBFGS(
        [mixing],
        max_iter=EVALUATIONS,
        max_eval=EVALUATIONS,
        history_size=50,
        line_search_fn="strong_wolfe",
        tolerance_grad=0,
        tolerance_change=0,
    )

    def evaluate() -> Tensor:
        search.zero_grad()
        mixed = mixing / mixing.norm(dim=1, keepdim=True)
        together = ((mixed @ mixed.T).square().sum() - width) / 2
        loss = _surprise(levels, mixed @ scores.T) + RIDGE * together / width
        loss.backward()
        return loss.detach()

    search.step(evaluate)
    with torch.no_grad():
        mixed = (mixing / mixing.norm(dim=1, keepdim=True)).double()
        latent = mixed @ mixed.T / (1 + SOFTNESS**2)
    ranks = (6 / math.pi * torch.asin(latent.clamp(-1, 1) / 2)).tolist()
    return [[*row[:i], 1.0] for i, row in enumerate(ranks)]


def _levels(splits: Sequence[Split], margins: Mapping[int, Margin]) -> list[Level]:
    order = sorted(range(len(splits)), key=lambda i: (-splits[i].rows, splits[i].depth))[:SPLITS]
    by_depth: dict[int, list[int]] = {}
    for i in sorted(order):
        by_depth.setdefault(splits[i].depth, []).append(i)  # a split's rows came through those above, which are kept
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


def _surprise(levels: Sequence[Level], y: Tensor) -> Tensor:
    """Negative log-likelihood a counted row, where features have the normal scores ``y``, ``(D, N)``."""
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
