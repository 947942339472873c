"""``AutogradStudent``: a base class that computes a student's derivatives by autograd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.students.base import LossAndGradients, SobolevTarget, Student
from dfkd_tune.students.sobolev import match_by_autograd


class AutogradStudent(Student):
    """A student whose derivatives come from autograd: subclasses implement ``answer``."""

    def outputs_and_gradients(self, weights: Sequence[Tensor], x: Tensor, columns: Columns) -> tuple[Tensor, Tensor]:
        """Outputs and their input gradients ``(K, N, O, E)``, both differentiable by autograd in the weights."""
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            answers = self.answer(weights, x, columns)
            gradients = [
                torch.autograd.grad(answers[..., o].sum(), x, create_graph=True)[0] for o in range(answers.shape[-1])
            ]
        return answers, torch.stack(gradients, dim=2)

    def forward_with_tape(self, weights: Sequence[Tensor], x: Tensor, columns: Columns) -> tuple[Tensor, Any]:
        """Outputs, with the tape that ``weight_gradients`` and ``input_gradients`` need."""
        weights = [weight.detach().requires_grad_() for weight in weights]
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            answers = self.answer(weights, x, columns)
        return answers.detach(), (answers, weights, x)

    def weight_gradients(self, weights: Sequence[Tensor], tape: Any, gradient: Tensor) -> Sequence[Tensor]:
        """Gradients of ``sum(gradient * outputs)`` in the weights, with ``gradient`` ``(K, N, O)``."""
        return torch.autograd.grad(tape[0], tape[1], gradient, retain_graph=True)

    def input_gradients(self, weights: Sequence[Tensor], tape: Any, gradient: Tensor) -> Tensor:
        """Gradient ``(K, N, E)`` of ``sum(gradient * outputs)`` in the inputs."""
        return torch.autograd.grad(tape[0], tape[2], gradient, retain_graph=True)[0]

    def loss_and_gradients(
        self, weights: Sequence[Tensor], x: Tensor, columns: Columns, target: SobolevTarget
    ) -> LossAndGradients:
        """The Sobolev loss and its gradient."""
        return match_by_autograd(self, weights, x, columns, target)


class Raw(nn.Module):
    """A network from encoded rows to normalized outputs, wrapped to map raw rows to raw outputs.

    Args:
        inner: the network, ``(N, E) -> (N, O)``.
        encoding: encodes raw rows ``(N, D)`` as ``(N, E)``.
        shift, spread: ``(O,)`` each; raw output = shift + spread * normalized output.
    """

    def __init__(self, inner: nn.Module, encoding: Encoding, shift: Tensor, spread: Tensor) -> None:
        super().__init__()
        self.encode, self.inner = encoding.module(), inner
        for name, value in {"shift": shift, "spread": spread}.items():
            self.register_buffer(name, value.float())

    def forward(self, x: Tensor) -> Tensor:
        return self.shift + self.spread * self.inner(self.encode(x))
