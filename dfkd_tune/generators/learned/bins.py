"""Bins of features that are narrow where the mean output changes, as TabKD learns them (Pereira, Khadka & Lei 2026)."""

from __future__ import annotations

import torch
from torch import Tensor

CELLS = 32
"""Cells of equally many rows in which a feature's mean output is taken, to place its bins."""
EVEN = 0.5
"""Share of a bin's width that is even; the rest follows the change of the mean output."""


def edges_of(z: Tensor, answers: Tensor, bins: int) -> Tensor:
    """Inner edges ``(D, bins - 1)`` of the bins of rows ``(N, D)`` with outputs ``(N, O)``, all in float64 on the CPU."""
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


def bins_of(z: Tensor, edges: Tensor) -> Tensor:
    """The bin of every value ``(..., N, D)``, numbered through all features, for inner edges ``(..., D, bins - 1)``."""
    found = torch.searchsorted(edges, z.mT.contiguous(), right=True).mT
    features, inner = edges.shape[-2:]
    return found + (inner + 1) * torch.arange(features, device=z.device)
