"""Cross-validation on answered rows: which of them a student trains on, and which are held out of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

FOLDS = 5
"""Number of folds of the rows of the first round; later rounds are trained on by every student."""
ENOUGH_ROWS = 500
"""Held-out selection rows of one trial that need no cross-validation: with fewer, it trains a student for several folds."""
EARLY = 3
"""One in so many held-out prior rows decides when training stops; the others select."""


@dataclass(frozen=True)
class Fold:
    """One split of the answered rows, as indices into the pool.

    Args:
        training: rows that a student of this fold trains on.
        pruning: held-out prior rows that decide which of its weights are kept.
        selection, stress: held-out prior rows and stress rows that it is selected by.
    """

    training: Tensor
    pruning: Tensor
    selection: Tensor
    stress: Tensor


def folds(prior: int, stress: int, rest: int) -> list[Fold]:
    """Split a pool of ``prior`` rows, then ``stress`` rows, then ``rest`` rows of later rounds, which are never held out."""
    of_prior, of_stress = torch.arange(prior) % FOLDS, torch.arange(stress) % FOLDS
    found = []
    for k in range(FOLDS):
        held = (of_prior == k).nonzero().flatten()
        early = torch.arange(len(held)) % EARLY == 0
        away = (of_stress == k).nonzero().flatten() + prior
        free = torch.cat([of_prior != k, of_stress != k, torch.ones(rest, dtype=torch.bool)])
        found.append(Fold(free.nonzero().flatten(), held[early], held[~early], away))
    return found


def folds_trained(prior: int) -> int:
    """Number of folds for which a trial trains a student: as many as hold ``ENOUGH_ROWS`` selection rows together."""
    selection = prior / FOLDS * (1 - 1 / EARLY)
    return max(1, min(FOLDS, math.ceil(ENOUGH_ROWS / max(selection, 1.0))))
