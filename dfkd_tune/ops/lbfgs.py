"""L-BFGS from PyTorch, for the finish of a student and for prior inference (Nocedal & Wright 2006, ch. 7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from inspect import unwrap

import torch
from torch import Tensor

HISTORY = 50
"""Number of update pairs from which the curvature is estimated."""


class Search(torch.optim.LBFGS):
    """``LBFGS`` without the import of PyTorch's compiler, which costs a second and 70 MB per process."""

    add_param_group = unwrap(torch.optim.LBFGS.add_param_group)


class _NoNumber(Exception):
    """The loss is NaN, at which PyTorch's line search raises an ``IndexError``."""


def descend(leaves: Sequence[Tensor], loss: Callable[[], Tensor], evaluations: int) -> None:
    """Minimize a loss over leaf tensors, in place. It stops at the first values at which the loss is NaN.

    Args:
        leaves: tensors of any shape that require gradients.
        loss: function that returns the loss of their current values, a scalar, differentiable by autograd.
        evaluations: number of evaluations of the loss and its gradient after which no further line search begins.
    """
    search = Search(
        leaves,
        max_iter=evaluations,
        max_eval=evaluations,
        history_size=HISTORY,
        line_search_fn="strong_wolfe",
        tolerance_grad=0,
        tolerance_change=0,
    )

    def evaluate() -> Tensor:
        found = loss()
        if bool(found.isnan()):
            raise _NoNumber
        for leaf, gradient in zip(leaves, torch.autograd.grad(found, leaves), strict=True):
            leaf.grad = gradient.contiguous()  # PyTorch flattens it with view
        return found.detach()

    with suppress(_NoNumber):
        search.step(evaluate)
