"""A perceptron with more neurons than allowed, cut to size: optimal brain surgeon (Hassibi & Stork 1993) on its output layer.

A neuron's removal is paid for by what the output layer, fitted anew to the others, loses in answers and input gradients. What
is left are neurons as they were rather than averages of neurons, and they answer more like the teacher far from the prior's center.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dfkd_tune.ops.activations import ACTIVATIONS
from dfkd_tune.ops.matmul import layer
from dfkd_tune.students.mlp import MLP

RIDGE = 1e-6


def prune(
    student: MLP, weights: Sequence[Tensor], z: Tensor, gradients: float, width: int, matched: Tensor | None = None
) -> list[Tensor]:
    """The weights of one hidden layer of ``width`` neurons out of more.

    Args:
        student: the architecture, of one hidden layer.
        weights: ``(D, H)``, ``(H,)``, ``(H, O)``, ``(O,)``.
        z: rows ``(N, D)`` that the loss is measured on.
        gradients: weight of the input gradients in the loss.
        width: neurons to keep.
        matched: which columns ``(D,)`` have gradients that count, as 1 and 0; None where all have.
    """
    first, bias, out, shift = (w.double() for w in weights)
    activation = ACTIVATIONS[student.activation]
    values, derivatives = activation.both(layer(bias, z.double(), first, activation.factor))
    gram = _gram(values, derivatives, first if matched is None else first * matched.to(first)[:, None], gradients)
    solution = torch.cat([out, shift[None]])
    inverse = torch.linalg.inv(gram)
    alive = torch.ones(len(gram), dtype=torch.bool, device=gram.device)
    for _ in range(first.shape[1] - width):
        loss = solution.square().sum(1) / inverse.diagonal().clamp_min(1e-300)
        loss[~alive], loss[-1] = torch.inf, torch.inf  # the bias stays
        i = int(loss.argmin())
        column = inverse[:, i] / inverse[i, i]
        solution = solution - torch.outer(column, solution[i])
        inverse = inverse - torch.outer(column, inverse[i])
        alive[i], inverse[i, :], inverse[:, i] = False, 0.0, 0.0
    kept = alive[:-1].nonzero()[:, 0]
    parts = (first[:, kept], bias[kept], solution[kept], solution[-1])
    return [part.to(w.dtype).contiguous() for part, w in zip(parts, weights, strict=True)]


def _gram(values: Tensor, derivatives: Tensor, first: Tensor, gradients: float) -> Tensor:
    """Second moments of what the output layer weighs, neurons and a one, in answers and input gradients."""
    rows = len(values)
    seen = torch.cat([values, torch.ones_like(values[:, :1])], dim=1)
    gram = seen.T @ seen / rows
    gram[:-1, :-1] += gradients * (derivatives.T @ derivatives / rows) * (first.T @ first)
    return gram + RIDGE * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
