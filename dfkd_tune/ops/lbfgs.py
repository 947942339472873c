"""L-BFGS as torch has it, for a student's finish and for what a teacher recollects (Nocedal & Wright 2006, ch. 7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import unwrap

import torch
from torch import Tensor

HISTORY = 50
"""Pairs that the curvature is estimated from."""


class Search(torch.optim.LBFGS):
    """Without the import of torch's compiler, a second and 70 MB a process, that every optimizer asks for as it is made."""

    add_param_group = unwrap(torch.optim.LBFGS.add_param_group)


def descend(leaves: Sequence[Tensor], loss: Callable[[], Tensor], evaluations: int) -> None:
    """Move leaf tensors of any shape, in place, to where a loss of theirs is small.

    Args:
        leaves: that require gradients.
        loss: of them as they are, a scalar, differentiable by autograd.
        evaluations: of the loss and its gradient.
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
        for leaf, gradient in zip(leaves, torch.autograd.grad(found, leaves), strict=True):
            leaf.grad = gradient.contiguous()  # torch flattens it by a view
        return found.detach()

    search.step(evaluate)
