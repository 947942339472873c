"""The training loss of students and its gradient: it matches outputs and, optionally, input gradients.

``loss = sum_n share_n mean_o [ (S - T)^2 + weight |dS/dx - dT/dx|^2 ]``, the Sobolev loss of Czarnecki et al. 2017. Notation as in
``mlp``: K members, N rows, D encoded columns, O outputs, H hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.ops.activations import Activation
from dfkd_tune.ops.matmul import few_columns, layer, outer_or_matmul
from dfkd_tune.students.base import LossAndGradients, SobolevTarget, Student, ValueTarget


def loss_and_gradients(
    student: Student,
    weights: Sequence[Tensor],
    x: Tensor,
    columns: Columns,
    target: ValueTarget | SobolevTarget,
) -> LossAndGradients:
    """Outputs, losses and gradients of stacked students.

    Args:
        student: the architecture.
        weights: stacked weights ``(K, ...)``.
        x: encoded rows ``(K, N, D)``.
        columns: how their columns are arranged.
        target: what the teacher answers there.
    """
    if isinstance(target, SobolevTarget):
        return student.loss_and_gradients(weights, x, columns, target)
    answers, tape = student.forward_with_tape(weights, x, columns)
    gap = answers - target.values
    pull = gap * (target.share * (2 / gap.shape[-1]))
    return LossAndGradients(answers, student.weight_gradients(weights, tape, pull), lambda: half(pull, gap))


def match_one_layer(
    activation: Activation,
    weights: Sequence[Tensor],
    x: Tensor,
    target: SobolevTarget,
) -> LossAndGradients:
    """By hand, for one hidden layer: input gradients are linear in the activation's derivative, with weights ``first * out``."""
    values, gradients, share, weight = target
    first, bias, out, shift = weights
    z = layer(bias, x, first, activation.factor)
    seen, derivative = activation.both(z)
    turned = first.transpose(1, 2).unsqueeze(2)  # (K, H, 1, D)
    product = (out.unsqueeze(3) * turned).flatten(2)  # (K, H, O D)
    answers = layer(shift, seen, out)
    gap, gradient_gap = answers - values, torch.baddbmm(gradients.flatten(2), derivative, product, beta=-1)
    scale = share * (2 / gap.shape[-1])
    pull, gradient_pull = gap * scale, gradient_gap * (scale * weight)
    by_product = torch.bmm(derivative.transpose(1, 2), gradient_pull).view(*out.shape, -1)  # (K, H, O, D)
    to_out = few_columns(seen.mT, pull).add_((by_product * turned).sum(3))
    to_first = (by_product * out.unsqueeze(3)).sum(2).transpose(1, 2)
    back = torch.bmm(gradient_pull, product.transpose(1, 2)).mul_(activation.curve(z, seen, derivative))
    back.add_(outer_or_matmul(pull, out).mul_(derivative))
    found = [torch.baddbmm(to_first, x.transpose(1, 2), back), back.sum(1), to_out, pull.sum(1)]
    return LossAndGradients(answers, found, lambda: half(pull, gap) + half(gradient_pull, gradient_gap))


def match_by_autograd(
    student: Student,
    weights: Sequence[Tensor],
    x: Tensor,
    columns: Columns,
    target: SobolevTarget,
) -> LossAndGradients:
    """By autograd, through the student's ``outputs_and_gradients``."""
    values, gradients, share, weight = target
    leaves = [leaf.detach().requires_grad_() for leaf in weights]
    with torch.enable_grad():
        answers, found = student.outputs_and_gradients(leaves, x, columns)
        apart = (weight * (found - gradients).square().flatten(2)).sum(-1, True) / values.shape[-1]
        rows = (answers - values).square().mean(-1, True) + apart
        loss = (rows * share).sum((1, 2))
        return LossAndGradients(answers.detach(), torch.autograd.grad(loss.sum(), leaves), loss.detach)


def half(pull: Tensor, gap: Tensor) -> Tensor:
    """Half of ``sum(pull * gap)`` of each member, ``(K,)``: a squared loss from its gradient and the gap."""
    return 0.5 * torch.linalg.vecdot(pull.flatten(1), gap.flatten(1))
