"""The loss that students are trained by, with its gradient: answers, and input gradients where they are matched.

``loss = sum_n share_n mean_o [ (S - T)^2 + weight |dS/dx - dT/dx|^2 ]``, the Sobolev loss of Czarnecki et al. 2017. Notation as in
``mlp``: K members, N rows, D encoded columns, O outputs, H hidden units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dfkd_tune.ops.activations import Activation
from dfkd_tune.ops.matmul import layer, narrow, wide


class Matched(NamedTuple):
    """What became of a loss.

    Args:
        answers: ``(K, N, O)``.
        slopes: of the losses, in the shapes of the weights.
        loss: gives the losses ``(K,)``; who only descends does not ask.
    """

    answers: Tensor
    slopes: Sequence[Tensor]
    loss: Callable[[], Tensor]


def match(
    student, weights: Sequence[Tensor], x: Tensor, values: Tensor, slopes: Tensor | None, share: Tensor, weight: Tensor
) -> Matched:
    """Answers, losses and their gradients of stacked students.

    Args:
        student: the architecture.
        weights: stacked ``(K, ...)``.
        x, values: rows ``(K, N, D)`` and the teacher's answers ``(K, N, O)``.
        slopes: the teacher's input gradients ``(K, N, O, D)``, or None to match answers alone.
        share: of each row in the loss, broadcastable to ``(K, N, 1)``.
        weight: of the gradients, ``(K, 1, 1)``, or ``(K, 1, O D)`` where it differs by column.
    """
    if slopes is not None:
        return student.match(weights, x, values, slopes, share, weight)
    answers, tape = student.record(weights, x)
    gap = answers - values
    pull = gap * (share * (2 / gap.shape[-1]))
    return Matched(answers, student.weight_slopes(weights, tape, pull), lambda: _half(pull, gap))


def match_one_layer(
    activation: Activation, weights: Sequence[Tensor], x: Tensor, values: Tensor, slopes: Tensor, share, weight
) -> Matched:
    """By hand: a hidden layer's input gradients are a linear layer of its derivatives, with weights ``first * out``."""
    first, bias, out, shift = weights
    z = layer(bias, x, first, activation.factor)
    seen, derivative = activation.both(z)
    turned = first.transpose(1, 2).unsqueeze(2)  # (K, H, 1, D)
    product = (out.unsqueeze(3) * turned).flatten(2)  # (K, H, O D)
    answers = layer(shift, seen, out)
    gap, slope_gap = answers - values, torch.baddbmm(slopes.flatten(2), derivative, product, beta=-1)
    scale = share * (2 / gap.shape[-1])
    pull, slope_pull = gap * scale, slope_gap * (scale * weight)
    by_product = torch.bmm(derivative.transpose(1, 2), slope_pull).view(*out.shape, -1)  # (K, H, O, D)
    to_out = narrow(seen.mT, pull).add_((by_product * turned).sum(3))
    to_first = (by_product * out.unsqueeze(3)).sum(2).transpose(1, 2)
    back = torch.bmm(slope_pull, product.transpose(1, 2)).mul_(activation.curve(z, seen, derivative))
    back.add_(wide(pull, out).mul_(derivative))
    found = [torch.baddbmm(to_first, x.transpose(1, 2), back), back.sum(1), to_out, pull.sum(1)]
    return Matched(answers, found, lambda: _half(pull, gap) + _half(slope_pull, slope_gap))


def match_by_autograd(student, weights, x, values, slopes, share, weight) -> Matched:
    """Through the student's own ``answer_and_slopes``."""
    leaves = [leaf.detach().requires_grad_() for leaf in weights]
    with torch.enable_grad():
        answers, found = student.answer_and_slopes(leaves, x)
        apart = (weight * (found - slopes).square().flatten(2)).sum(-1, True) / values.shape[-1]
        rows = (answers - values).square().mean(-1, True) + apart
        loss = (rows * share).sum((1, 2))
        return Matched(answers.detach(), torch.autograd.grad(loss.sum(), leaves), loss.detach)


def _half(pull: Tensor, gap: Tensor) -> Tensor:
    return 0.5 * torch.linalg.vecdot(pull.flatten(1), gap.flatten(1))
