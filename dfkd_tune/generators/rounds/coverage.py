"""``coverage``: rows that hold pairs of feature bins that no row had before, after TabKD (Pereira, Khadka & Lei 2026)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from dfkd_tune.generators.rounds.base import Answer, RoundGenerator
from dfkd_tune.utils.strategy import strategy

CELLS = 32
"""Cells of equally many candidates in which a feature's mean output is taken, to place its bins."""
EVEN = 0.5
"""Share of a bin's width that is even; the rest follows the change of the mean output."""


@strategy
class Coverage(RoundGenerator):
    """Scrambled Sobol rows in the first round; later rows with pairs of feature bins that were asked least.

    The bins of a feature are learned: their edges divide the range of its candidates so that the best student's mean output, given
    the feature, changes equally in each, half by that and half by quantiles. With ``c(i, a, j, b)`` rows so far in bin a of feature i
    and bin b of feature j, a row has the score ``sum_{i<j} 1 / (1 + c(i, a_i, j, b_j))``. Of ``candidates`` candidates the one with the
    largest score is taken, and counted, one after the other: the interactions of features that TabKD (arXiv 2603.15481) covers by a
    network, by choice among prior rows.

    Args:
        bins: bins of each feature.
    """

    bins: Annotated[int, Field(ge=2, le=16)] = 5

    def choose(
        self, candidates: Tensor, rows: int, asked: Tensor, committee: Sequence[Answer], rng: torch.Generator
    ) -> Tensor:
        """As ``RoundGenerator.choose``; without a student, bins are quantiles."""
        z = candidates.double().cpu()
        answers = committee[0](candidates).double().cpu().nan_to_num() if committee else torch.zeros(len(z), 1).double()
        edges = _edges(z, answers, self.bins)
        places, before = _bins(z, edges), _bins(asked.double().cpu(), edges)
        counts = torch.zeros(2 * (len(edges) * self.bins,), dtype=torch.float64)
        for row in before:
            counts[row[:, None], row] += 1
        chosen = []
        for group in torch.arange(len(z)).tensor_split(rows):
            scores = (1 / (1 + counts[places[group][:, :, None], places[group][:, None, :]])).sum((1, 2))
            index = int(group[scores.argmax()])
            row = places[index]
            counts[row[:, None], row] += 1
            chosen.append(index)
        return torch.tensor(chosen, dtype=torch.long)


def _edges(z: Tensor, answers: Tensor, bins: int) -> Tensor:
    """Inner edges ``(D, bins - 1)`` of the bins of rows ``(N, D)`` with a student's answers ``(N, O)``."""
    cells = min(CELLS, len(z))
    order = z.argsort(0)
    means = torch.stack([answers[part].mean(0) for part in order.tensor_split(cells)])  # (cells, D, O)
    change = means.diff(dim=0).abs().sum(-1)
    even = torch.full_like(change, 1 / max(1, cells - 1))
    total = change.sum(0, keepdim=True)
    share = EVEN * even + (1 - EVEN) * torch.where(total > 0, change / total.clamp(min=1e-300), even)
    reached = share.cumsum(0)  # (cells - 1, D), up to 1
    targets = torch.arange(1, bins, dtype=torch.float64) / bins
    cell = torch.searchsorted(reached.T.contiguous(), targets.expand(z.shape[1], -1).contiguous()) + 1  # (D, bins - 1)
    starts = torch.tensor([len(part) for part in torch.arange(len(z)).tensor_split(cells)]).cumsum(0)
    ranks = starts[cell.clamp(max=cells) - 1].clamp(max=len(z) - 1)
    return z.gather(0, order).gather(0, ranks.T).T.contiguous()


def _bins(z: Tensor, edges: Tensor) -> Tensor:
    """The bin of every value ``(N, D)``, numbered through all features."""
    found = torch.searchsorted(edges, z.T.contiguous(), right=True).T
    return found + (edges.shape[1] + 1) * torch.arange(len(edges))
