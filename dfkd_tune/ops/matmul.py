"""Matrix products with few columns. They compute the transpose, because BLAS vectorizes along rows of its output.

The small factor is transposed in memory first: a product of two transposed matrices takes up to ten times as long in MKL.
"""

from __future__ import annotations

import torch
from torch import Tensor

NARROW = 16
"""Number of columns from which the plain product is as fast, with 512-bit registers."""


def few_columns(a: Tensor, b: Tensor) -> Tensor:
    """``a (..., n, h) @ b (..., h, c)``, contiguous, for matrices or batches of them; fast for few columns ``c``."""
    product = torch.mm if a.dim() == 2 else torch.bmm
    if not _is_narrow(b):
        return product(a, b)
    return product(b.mT.contiguous(), a.mT).mT.contiguous()


def layer(bias: Tensor, a: Tensor, b: Tensor, factor: float = 1.0) -> Tensor:
    """``factor * (bias (..., c) + a (..., n, h) @ b (..., h, c))``, contiguous; fast for few columns ``c``."""
    if (
        b.is_cuda and a.dim() == 2
    ):  # the product adds a bias of one dimension by itself; another is copied for every row first
        return torch.addmm(bias, a, b) if factor == 1.0 else torch.addmm(factor * bias, a, factor * b)
    product = torch.addmm if a.dim() == 2 else torch.baddbmm
    if not _is_narrow(b):
        return product(bias.unsqueeze(-2), a, b, beta=factor, alpha=factor)
    return product(bias.unsqueeze(-1), b.mT.contiguous(), a.mT, beta=factor, alpha=factor).mT.contiguous()


def _is_narrow(b: Tensor) -> bool:
    """Whether the transpose is faster; a GPU has tiles of all shapes, and would copy twice."""
    return b.shape[-1] < NARROW and not b.is_cuda


def outer_or_matmul(gradient: Tensor, weight: Tensor) -> Tensor:
    """``gradient (..., n, c) @ weight (..., h, c).mT``; fast for a single column."""
    if gradient.shape[-1] == 1:
        return gradient * weight.mT
    return (torch.mm if gradient.dim() == 2 else torch.bmm)(gradient, weight.mT)
