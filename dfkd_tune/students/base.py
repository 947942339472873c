"""The interface of a student: an architecture whose K members share one batched pass.

A student is a frozen dataclass of its hyper-parameters (``@strategy``). Its weights are a list of tensors, stacked as ``(K, ...)`` where
K members are evaluated at once. It takes encoded rows ``(K, N, E)``: standardized features, with one-hot columns for unordered levels. ``Columns`` says how these
columns lie in a window of steps or in a grid of pixels.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass, replace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from dfkd_tune.inputs.columns import Columns, Kind
from dfkd_tune.inputs.encoding import Encoding

WIDEST = 100_000
"""Largest width of a student."""


class ValueTarget(NamedTuple):
    """What a training step matches if it matches outputs alone.

    Args:
        values: the teacher's outputs ``(K, N, O)``.
        share: weight of each row in the loss, broadcastable to ``(K, N, 1)``.
    """

    values: Tensor
    share: Tensor


class SobolevTarget(NamedTuple):
    """What a training step matches if it matches outputs and input gradients.

    Args:
        values: the teacher's outputs ``(K, N, O)``.
        gradients: the teacher's input gradients ``(K, N, O, E)``.
        share: weight of each row in the loss, broadcastable to ``(K, N, 1)``.
        weight: weight of the gradients, ``(K, 1, 1)``, or ``(K, 1, O E)`` if it differs by column.
    """

    values: Tensor
    gradients: Tensor
    share: Tensor
    weight: Tensor


class LossAndGradients(NamedTuple):
    """The result of a loss: outputs, gradients in the weights, and the loss itself on demand.

    Args:
        answers: outputs ``(K, N, O)``.
        gradients: gradients of the losses in the weights, in their shapes.
        loss: computes the losses ``(K,)``; a plain gradient step does not need them.
    """

    answers: Tensor
    gradients: Sequence[Tensor]
    loss: Callable[[], Tensor]


class Student(ABC):
    """An architecture. Subclass ``students.autograd.AutogradStudent`` unless you write the derivatives by hand."""

    has_width: ClassVar[bool] = False
    """Whether it has a field ``width``. If so, a limit on parameters sets that field."""

    takes: ClassVar[Kind | None] = None
    """The shape of inputs that it is made for; None if it takes rows as they are. A study refuses it for other inputs."""

    def held(self, columns: Columns) -> int:
        """Number of values that a training step holds for one row without input gradients, for planning memory."""
        return 400

    def with_width(self, width: int) -> Student:
        """The same architecture with another width; itself if it has no width."""
        if not self.has_width:
            return self
        assert is_dataclass(self)  # every strategy is one
        return replace(self, width=width)

    @abstractmethod
    def shapes(self, columns: Columns, outputs: int) -> list[tuple[int, ...]]:
        """Shapes of one member's weights."""

    def parameters(self, columns: Columns, outputs: int) -> int:
        """Number of trained values of one member."""
        return sum(math.prod(shape) for shape in self.shapes(columns, outputs))

    @abstractmethod
    def structure(self) -> tuple[object, ...]:
        """Key that two students must have in common to share a batched pass."""

    @abstractmethod
    def init_params(self, columns: Columns, outputs: int, rng: torch.Generator, dtype: torch.dtype) -> list[Tensor]:
        """Initial weights of one member, drawn from its random stream ``rng``."""

    @abstractmethod
    def answer(self, weights: Sequence[Tensor], x: Tensor, columns: Columns) -> Tensor:
        """Normalized outputs ``(K, N, O)`` for stacked rows ``(K, N, E)``; differentiable by autograd."""

    def hidden(self, weights: Sequence[Tensor], x: Tensor, columns: Columns) -> Tensor | None:
        """Input ``(K, N, H)`` of a linear output layer for stacked rows ``(K, N, E)``; None if the last layer is not linear.

        If it is not None, the last two weights are the output layer's, ``(H, O)`` and ``(O,)``.
        """
        return None

    @abstractmethod
    def outputs_and_gradients(self, weights: Sequence[Tensor], x: Tensor, columns: Columns) -> tuple[Tensor, Tensor]:
        """Outputs and their input gradients ``(K, N, O, E)``, both differentiable by autograd in the weights."""

    @abstractmethod
    def forward_with_tape(self, weights: Sequence[Tensor], x: Tensor, columns: Columns) -> tuple[Tensor, Any]:
        """Outputs, with the tape that ``weight_gradients`` and ``input_gradients`` need."""

    @abstractmethod
    def weight_gradients(self, weights: Sequence[Tensor], tape: Any, gradient: Tensor) -> Sequence[Tensor]:
        """Gradients of ``sum(gradient * outputs)`` in the weights, with ``gradient`` ``(K, N, O)``."""

    @abstractmethod
    def input_gradients(self, weights: Sequence[Tensor], tape: Any, gradient: Tensor) -> Tensor:
        """Gradient ``(K, N, E)`` of ``sum(gradient * outputs)`` in the inputs."""

    def by_hand(self, gradients: bool) -> bool:
        """Whether a training step needs no autograd; ``gradients`` says whether input gradients are matched."""
        return False

    @abstractmethod
    def loss_and_gradients(
        self, weights: Sequence[Tensor], x: Tensor, columns: Columns, target: SobolevTarget
    ) -> LossAndGradients:
        """Outputs ``(K, N, O)`` at encoded rows ``x`` ``(K, N, E)``, the Sobolev loss there and its gradients in the stacked ``weights``."""

    @abstractmethod
    def module(
        self, weights: Sequence[Tensor], columns: Columns, encoding: Encoding, shift: Tensor, spread: Tensor
    ) -> nn.Module:
        """One member as a float32 network in evaluation mode, from raw rows ``(N, D)`` to raw outputs ``(N, O)``.

        Args:
            weights: weights of one member, in the shapes of ``init_params``.
            columns: how encoded columns are arranged.
            encoding: encodes raw rows ``(N, D)`` as ``(N, E)``.
            shift, spread: ``(O,)`` each; raw output = shift + spread * normalized output.
        """

    def widest(self, columns: Columns, outputs: int, max_parameters: int) -> int:
        """Largest width with at most ``max_parameters`` trained values; 0 if none fits, 1 if an architecture of fixed size fits."""
        low, high = 0, WIDEST if self.has_width else 1
        while low < high:
            middle = (low + high + 1) // 2
            fits = self.with_width(middle).parameters(columns, outputs) <= max_parameters
            low, high = (middle, high) if fits else (low, middle - 1)
        return low

    def layout(self, columns: Columns, encoding: Encoding, outputs: int) -> dict[str, Any] | None:
        """Content of ``architecture.yaml``, from which a state dict is loaded; None if its students are stored as ``.pt2``."""
        return None
