"""The multilayer perceptron, with hand-written gradients.

Notation: K members, N rows, D encoded columns, O outputs, H hidden units. Stacked parameters have K first; weights are stored
``(in, out)``, so that a layer is one matrix product. Students of different widths share one batched pass, because narrow ones are
padded with hidden units of zero weights. Every activation maps 0 to 0, so training leaves these weights exactly zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.ops.activations import ACTIVATIONS
from dfkd_tune.ops.matmul import few_columns, layer, outer_or_matmul
from dfkd_tune.students.base import LossAndGradients, SobolevTarget, Student
from dfkd_tune.students.sobolev import match_by_autograd, match_one_layer
from dfkd_tune.utils.strategy import strategy

T = TypeVar("T")

Tape = list[tuple[Tensor, Tensor | None]]
"""What the gradients need from a forward pass: each layer's input, and the derivative of the activation before it."""


@strategy
class MLP(Student):
    """A multilayer perceptron with hidden layers of one width.

    Args:
        width: number of units in each hidden layer.
        depth: number of hidden layers.
        activation: activation function after each hidden layer.
    """

    width: Annotated[int, Field(ge=1, le=100_000)] = 50
    depth: Annotated[int, Field(ge=1, le=16)] = 1
    activation: Literal["tanh", "relu", "silu", "gelu", "elu"] = "tanh"

    has_width: ClassVar[bool] = True

    def held(self, columns: Columns) -> int:
        """Each unit's input, activation, derivative, and the gradient of one of them."""
        return 4 * self.depth * self.width

    def shapes(self, columns: Columns, outputs: int) -> list[tuple[int, ...]]:
        """Shapes of the weight and bias of every layer, in order."""
        sizes = (columns.width, *[self.width] * self.depth, outputs)
        return [shape for a, b in pairwise(sizes) for shape in ((a, b), (b,))]

    def structure(self) -> tuple[object, ...]:
        """Key that two students must have in common to share a batched pass; width is not part of it."""
        return ("mlp", self.depth, self.activation)

    def init_params(self, columns: Columns, outputs: int, rng: torch.Generator, dtype: torch.dtype) -> list[Tensor]:
        """Weights drawn as in ``nn.Linear``: uniform within ``1 / sqrt(fan_in)``."""
        values = []
        for weight, bias in _pairs(self.shapes(columns, outputs)):
            reach = 1.0 / math.sqrt(weight[0])
            for shape in (weight, bias):
                draw = torch.rand(shape, generator=rng, dtype=torch.float64)
                values.append(((2 * draw - 1) * reach).to(dtype))
        return values

    def answer(self, weights: Sequence[Tensor], x: Tensor, columns: Columns) -> Tensor:
        """Outputs ``(K, N, O)`` for stacked rows ``(K, N, D)``; differentiable by autograd."""
        weight, bias = weights[-2:]
        return layer(bias, self.hidden(weights, x, columns), weight)

    def hidden(self, weights: Sequence[Tensor], x: Tensor, columns: Columns) -> Tensor:
        """Activations ``(K, N, H)`` of the last hidden layer for stacked rows ``(K, N, D)``."""
        activation = ACTIVATIONS[self.activation]
        for weight, bias in _pairs(weights)[:-1]:
            x = activation.value(layer(bias, x, weight, activation.factor))
        return x

    def outputs_and_gradients(self, weights: Sequence[Tensor], x: Tensor, columns: Columns) -> tuple[Tensor, Tensor]:
        """Outputs and their input gradients ``(K, N, O, D)``, both differentiable by autograd in the weights."""
        activation = ACTIVATIONS[self.activation]
        layers, derivatives = _pairs(weights), []
        for weight, bias in layers[:-1]:
            x, derivative = activation.both(layer(bias, x, weight, activation.factor))
            derivatives.append(derivative)
        weight, bias = layers[-1]
        answers = layer(bias, x, weight)
        members, rows, outputs = answers.shape
        gradient = weight.transpose(1, 2).unsqueeze(1)
        for (weight, _), derivative in zip(reversed(layers[:-1]), reversed(derivatives), strict=True):
            gradient = (gradient * derivative.unsqueeze(2)).reshape(members, rows * outputs, -1)
            gradient = torch.bmm(gradient, weight.transpose(1, 2)).view(members, rows, outputs, -1)
        return answers, gradient

    def forward_with_tape(self, weights: Sequence[Tensor], x: Tensor, columns: Columns) -> tuple[Tensor, Tape]:
        """Outputs, with the tape that ``weight_gradients`` and ``input_gradients`` need."""
        activation = ACTIVATIONS[self.activation]
        layers = _pairs(weights)
        tape: Tape = [(x, None)]
        for weight, bias in layers[:-1]:
            tape.append(activation.both(layer(bias, tape[-1][0], weight, activation.factor)))
        weight, bias = layers[-1]
        return layer(bias, tape[-1][0], weight), tape

    def weight_gradients(self, weights: Sequence[Tensor], tape: Tape, gradient: Tensor) -> list[Tensor]:
        """Gradients of ``sum(gradient * outputs)`` in the weights, with ``gradient`` ``(K, N, O)``."""
        gradients: list[Tensor] = []
        layers = _pairs(weights)
        for i in range(len(layers) - 1, -1, -1):
            h, derivative = tape[i]
            gradients += [gradient.sum(1), few_columns(h.mT, gradient)]
            if derivative is not None:
                gradient = outer_or_matmul(gradient, layers[i][0]).mul_(derivative)
        return gradients[::-1]

    def input_gradients(self, weights: Sequence[Tensor], tape: Tape, gradient: Tensor) -> Tensor:
        """Gradient ``(K, N, D)`` of ``sum(gradient * outputs)`` in the inputs."""
        for (weight, _), (_, derivative) in zip(reversed(_pairs(weights)), reversed(tape), strict=True):
            gradient = outer_or_matmul(gradient, weight)
            if derivative is not None:
                gradient = gradient.mul_(derivative)
        return gradient

    def by_hand(self, gradients: bool) -> bool:
        """Whether a training step needs no autograd; ``gradients`` says whether input gradients are matched."""
        return self.depth == 1 or not gradients

    def loss_and_gradients(
        self, weights: Sequence[Tensor], x: Tensor, columns: Columns, target: SobolevTarget
    ) -> LossAndGradients:
        """The Sobolev loss and its gradient."""
        if self.depth == 1:
            return match_one_layer(ACTIVATIONS[self.activation], weights, x, target)
        return match_by_autograd(self, weights, x, columns, target)

    def module(
        self, weights: Sequence[Tensor], columns: Columns, encoding: Encoding, shift: Tensor, spread: Tensor
    ) -> nn.Sequential:
        """One member as a plain float32 network from raw rows to raw outputs.

        Scaling is folded into its weights. If rows need one-hot encoding, its first layer encodes and scales them instead.

        Args:
            weights: weights of one member, in the shapes of ``init_params``.
            columns: how encoded columns are arranged.
            encoding: encodes raw rows ``(N, D)`` as ``(N, E)``.
            shift, spread: ``(O,)`` each; raw output = shift + spread * normalized output.
        """
        layers = [(w.double(), b.double()) for w, b in _pairs(list(weights))]
        if encoding.folds:
            weight, bias = layers[0]
            center, scale = (torch.tensor(part, dtype=torch.float64) for part in (encoding.center, encoding.scale))
            layers[0] = (weight / scale[:, None], bias - (center / scale) @ weight)
        weight, bias = layers[-1]
        layers[-1] = (weight * spread, bias * spread + shift)
        parts: list[nn.Module] = [] if encoding.folds else [encoding.module()]
        for i, (weight, bias) in enumerate(layers):
            fan_in, fan_out = weight.shape
            linear = nn.Linear(fan_in, fan_out)
            linear.load_state_dict({"weight": weight.T.float(), "bias": bias.float()})
            parts += [linear] if i == len(layers) - 1 else [linear, ACTIVATIONS[self.activation].module()]
        return nn.Sequential(*parts).eval()

    def layout(self, columns: Columns, encoding: Encoding, outputs: int) -> dict[str, Any]:
        """Content of ``architecture.yaml``, with which a student's weights can be loaded as a teacher."""
        layers = {"layers": [encoding.width, *[self.width] * self.depth, outputs], "activation": self.activation}
        return layers if encoding.folds else layers | {"encoding": encoding.tree()}


def _pairs(values: Sequence[T]) -> list[tuple[T, T]]:
    return list(zip(values[::2], values[1::2], strict=True))
