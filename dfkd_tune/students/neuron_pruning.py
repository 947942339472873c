"""Neuron pruning by the optimal brain surgeon (Hassibi & Stork 1993), applied to the output layer of a wide perceptron.

The cost of removing a neuron is the increase of the loss after the output layer is fitted again to the other neurons. Clustering
would average neurons; pruning keeps some unchanged, which match the teacher better far from the prior's center.
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
    """Reduce a student with one hidden layer to ``width`` neurons; returns its new weights.

    Args:
        student: the architecture, with one hidden layer.
        weights: weights of one member, ``(D, H)``, ``(H,)``, ``(H, O)``, ``(O,)``.
        z: encoded rows ``(N, D)`` that the loss is computed on.
        gradients: weight of the input gradients in the loss.
        width: number of neurons to keep.
        matched: mask ``(D,)`` of 1 and 0: columns whose gradients count; None if all count.
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
        loss[~alive], loss[-1] = torch.inf, torch.inf  # never remove the bias
        i = int(loss.argmin())
        column = inverse[:, i] / inverse[i, i]
        solution = solution - torch.outer(column, solution[i])
        inverse = inverse - torch.outer(column, inverse[i])
        alive[i], inverse[i, :], inverse[:, i] = False, 0.0, 0.0
    kept = alive[:-1].nonzero()[:, 0]
    parts = (first[:, kept], bias[kept], solution[kept], solution[-1])
    return [part.to(w.dtype).contiguous() for part, w in zip(parts, weights, strict=True)]


def _gram(values: Tensor, derivatives: Tensor, first: Tensor, gradients: float) -> Tensor:
    """Second moments of the output layer's inputs, the bias included, in outputs and input gradients."""
    rows = len(values)
    seen = torch.cat([values, torch.ones_like(values[:, :1])], dim=1)
    gram = seen.T @ seen / rows
    gram[:-1, :-1] += gradients * (derivatives.T @ derivatives / rows) * (first.T @ first)
    return gram + RIDGE * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
