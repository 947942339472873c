"""The interface of a student: an architecture whose K members share one batched pass.

A student is a frozen dataclass of its hyper-parameters (``@strategy``). Weights are a list of tensors, stacked ``(K, ...)`` wherever
several members answer at once. Rows are encoded: standardized features, levels without an order one-hot, ``(K, N, E)``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass, replace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from dfkd_tune.inputs.encoding import Encoding


class LossAndGradients(NamedTuple):
    """What became of a loss.

    Args:
        answers: ``(K, N, O)``.
        gradients: of the losses, in the shapes of the weights.
        loss: gives the losses ``(K,)``; who only descends does not ask.
    """

    answers: Tensor
    gradients: Sequence[Tensor]
    loss: Callable[[], Tensor]


class Student(ABC):
    """An architecture. Subclass ``students.autograd.AutogradStudent`` unless derivatives are written by hand."""

    has_width: ClassVar[bool] = False
    """Whether ``width`` is a field, so that a limit on parameters sets it."""

    @property
    def hidden_layers(self) -> int:
        """Hidden layers of a perceptron; 0 for anything else."""
        return 0

    @property
    def hidden_units(self) -> int:
        """Units of the widest layer, for planning memory."""
        return 100

    def with_width(self, width: int) -> Student:
        """The same architecture of another width; itself where it has none."""
        if not self.has_width:
            return self
        assert is_dataclass(self)  # every strategy is one
        return replace(self, width=width)

    @abstractmethod
    def shapes(self, features: int, outputs: int) -> list[tuple[int, ...]]:
        """Shapes of the weights of one member, for E encoded features."""

    def parameters(self, features: int, outputs: int) -> int:
        """The number of trained values."""
        return sum(math.prod(shape) for shape in self.shapes(features, outputs))

    @abstractmethod
    def structure(self) -> tuple[object, ...]:
        """What must be equal for two students to share a batched pass."""

    @abstractmethod
    def init_params(self, features: int, outputs: int, rng: torch.Generator, dtype: torch.dtype) -> list[Tensor]:
        """Weights of one member, drawn from its stream."""

    @abstractmethod
    def answer(self, weights: Sequence[Tensor], x: Tensor) -> Tensor:
        """Stacked rows ``(K, N, E)`` to normalized outputs ``(K, N, O)``; differentiable by autograd."""

    def hidden(self, weights: Sequence[Tensor], x: Tensor) -> Tensor | None:
        """What a linear output layer sees of stacked rows, ``(K, N, H)``; None where the last layer is another.

        Where it is not None, the last two weights are the output layer's ``(H, O)`` and ``(O,)``.
        """
        return None

    @abstractmethod
    def outputs_and_gradients(self, weights: Sequence[Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs and their input gradients ``(K, N, O, E)``, both differentiable by autograd in the weights."""

    @abstractmethod
    def forward_with_tape(self, weights: Sequence[Tensor], x: Tensor) -> tuple[Tensor, Any]:
        """Outputs, with the tape that ``weight_gradients`` and ``input_gradients`` need."""

    @abstractmethod
    def weight_gradients(self, weights: Sequence[Tensor], tape: Any, gradient: Tensor) -> Sequence[Tensor]:
        """Gradients of ``sum(gradient * outputs)``, ``gradient`` being ``(K, N, O)``, in the shapes of the weights."""

    @abstractmethod
    def input_gradients(self, weights: Sequence[Tensor], tape: Any, gradient: Tensor) -> Tensor:
        """Gradient of ``sum(gradient * outputs)`` in the inputs, ``(K, N, E)``."""

    def by_hand(self, gradients: bool) -> bool:
        """Whether no derivative of a step needs autograd, where input gradients are matched or not."""
        return False

    @abstractmethod
    def loss_and_gradients(
        self,
        weights: Sequence[Tensor],
        x: Tensor,
        values: Tensor,
        gradients: Tensor,
        share: Tensor,
        weight: Tensor,
    ) -> LossAndGradients:
        """The Sobolev loss with its gradient; arguments as those of ``students.sobolev.loss_and_gradients``."""

    @abstractmethod
    def module(self, weights: Sequence[Tensor], encoding: Encoding, shift: Tensor, spread: Tensor) -> nn.Module:
        """One member as a float32 network in evaluation mode, from raw rows to the teacher's units.

        Args:
            weights: of one member, as ``init_params`` returns them.
            encoding: of raw rows.
            shift, spread: ``(O,)``, raw = shift + spread * normalized.
        """

    @abstractmethod
    def widest(self, features: int, outputs: int, max_parameters: int) -> int:
        """The largest width with at most ``max_parameters`` values; 0 when none fits, 1 for an architecture of one size that fits."""

    def layout(self, encoding: Encoding, outputs: int) -> dict[str, Any] | None:
        """The architecture as a teacher's architecture file has it; None where its students are kept as ``.pt2``."""
        return None
