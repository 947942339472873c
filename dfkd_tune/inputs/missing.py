"""Numbers that may be missing: NaN in rows, raw or standardized, in some columns. NaN anywhere else is an error and stays."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def present(z: Tensor, columns: Sequence[int]) -> Tensor:
    """Standardized rows ``(..., D)`` with the center in place of missing numbers, for distances and sums over coordinates.

    Args:
        z: rows, which are not changed.
        columns: indices of the numbers that may be missing.
    """
    if not columns:
        return z
    at = torch.tensor(columns, device=z.device)
    return z.index_copy(-1, at, z.index_select(-1, at).nan_to_num(0.0, torch.inf, -torch.inf))


def missing_as(z: Tensor, drawn: Tensor, columns: Sequence[int]) -> Tensor:
    """Rows ``(..., D)`` in which those numbers are missing that are missing in ``drawn``.

    Args:
        z: rows, which are not changed.
        drawn: rows of the same shape.
        columns: indices of the numbers that may be missing.
    """
    if not columns:
        return z
    at = torch.tensor(columns, device=z.device)
    return z.index_copy(-1, at, z.index_select(-1, at).masked_fill(drawn.index_select(-1, at).isnan(), torch.nan))


def beyond(z: Tensor, edges: Tensor, columns: Sequence[int]) -> Tensor:
    """Rows ``(..., D)`` in which numbers above their edges are missing.

    Args:
        z: rows, which are not changed.
        edges: ``(D,)`` largest values that are there.
        columns: indices of the numbers that may be missing.
    """
    if not columns:
        return z
    at = torch.tensor(columns, device=z.device)
    part = z.index_select(-1, at)
    return z.index_copy(-1, at, part.masked_fill(part > edges[at], torch.nan))
