"""The multilayer perceptron, with hand-derived gradients.

Notation: K members, N rows, D features, O outputs, H hidden units. Stacked parameters carry K first; weights are stored
``(in, out)`` so that a layer is one product. Every activation maps 0 to 0, so hidden units that are padded with zero
weights stay exactly zero under training, and students of different width share one batched pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.ops.activations import ACTIVATIONS
from dfkd_tune.ops.matmul import few_columns, layer, outer_or_matmul
from dfkd_tune.students.base import LossAndGradients, Student
from dfkd_tune.students.sobolev import match_by_autograd, match_one_layer
from dfkd_tune.utils.strategy import strategy

T = TypeVar("T")

Tape = list[tuple[Tensor, Tensor | None]]
"""What a forward pass leaves for the gradients: each layer's input and the derivative of the activation that made it."""


@strategy
class MLP(Student):
    """A multilayer perceptron with hidden layers of one width.

    Args:
        width: hidden units a layer.
        depth: hidden layers.
        activation: between layers.
    """

    width: Annotated[int, Field(ge=1, le=100_000)] = 50
    depth: Annotated[int, Field(ge=1, le=16)] = 1
    activation: Literal["tanh", "relu", "silu", "gelu", "elu"] = "tanh"

    has_width: ClassVar[bool] = True

    @property
    def hidden_units(self) -> int:
        """Its width."""
        return self.width

    @property
    def hidden_layers(self) -> int:
        """Its depth."""
        return self.depth

    def shapes(self, features: int, outputs: int) -> list[tuple[int, ...]]:
        """Shapes of weight and bias of every layer, in order."""
        sizes = (features, *[self.width] * self.depth, outputs)
        return [shape for a, b in pairwise(sizes) for shape in ((a, b), (b,))]

    def structure(self) -> tuple[object, ...]:
        """What must be equal for two students to share a batched pass; width is not part of it."""
        return ("mlp", self.depth, self.activation)

    def init_params(self, features: int, outputs: int, rng: torch.Generator, dtype: torch.dtype) -> list[Tensor]:
        """Weights drawn as ``nn.Linear`` draws them: uniform within ``1 / sqrt(fan_in)``."""
        values = []
        for weight, bias in _pairs(self.shapes(features, outputs)):
            reach = 1.0 / math.sqrt(weight[0])
            for shape in (weight, bias):
                draw = torch.rand(shape, generator=rng, dtype=torch.float64)
                values.append(((2 * draw - 1) * reach).to(dtype))
        return values

    def answer(self, weights: Sequence[Tensor], x: Tensor) -> Tensor:
        """Answer stacked rows ``(K, N, D)`` with ``(K, N, O)``; differentiable by autograd."""
        weight, bias = weights[-2:]
        return layer(bias, self.hidden(weights, x), weight)

    def hidden(self, weights: Sequence[Tensor], x: Tensor) -> Tensor:
        """What the output layer sees of stacked rows ``(K, N, D)``: the last hidden layer, ``(K, N, H)``."""
        activation = ACTIVATIONS[self.activation]
        for weight, bias in _pairs(weights)[:-1]:
            x = activation.value(layer(bias, x, weight, activation.factor))
        return x

    def outputs_and_gradients(self, weights: Sequence[Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        """Answers and their input gradients ``(K, N, O, D)``, both differentiable by autograd in the weights."""
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

    def forward_with_tape(self, weights: Sequence[Tensor], x: Tensor) -> tuple[Tensor, Tape]:
        """The same answers, with the tape that ``weight_gradients`` and ``input_gradients`` need."""
        activation = ACTIVATIONS[self.activation]
        layers = _pairs(weights)
        tape: Tape = [(x, None)]
        for weight, bias in layers[:-1]:
            tape.append(activation.both(layer(bias, tape[-1][0], weight, activation.factor)))
        weight, bias = layers[-1]
        return layer(bias, tape[-1][0], weight), tape

    def weight_gradients(self, weights: Sequence[Tensor], tape: Tape, gradient: Tensor) -> list[Tensor]:
        """Gradients of ``sum(gradient * answers)``, ``gradient`` being ``(K, N, O)``, in the shapes of the weights."""
        gradients: list[Tensor] = []
        layers = _pairs(weights)
        for i in range(len(layers) - 1, -1, -1):
            h, derivative = tape[i]
            gradients += [gradient.sum(1), few_columns(h.mT, gradient)]
            if derivative is not None:
                gradient = outer_or_matmul(gradient, layers[i][0]).mul_(derivative)
        return gradients[::-1]

    def input_gradients(self, weights: Sequence[Tensor], tape: Tape, gradient: Tensor) -> Tensor:
        """Gradient of ``sum(gradient * answers)`` in the inputs, ``(K, N, D)``."""
        for (weight, _), (_, derivative) in zip(reversed(_pairs(weights)), reversed(tape), strict=True):
            gradient = outer_or_matmul(gradient, weight)
            if derivative is not None:
                gradient = gradient.mul_(derivative)
        return gradient

    def by_hand(self, gradients: bool) -> bool:
        """Whether no derivative of a step needs autograd, where input gradients are matched or not."""
        return self.depth == 1 or not gradients

    def loss_and_gradients(
        self, weights: Sequence[Tensor], x: Tensor, values: Tensor, gradients: Tensor, share: Tensor, weight: Tensor
    ) -> LossAndGradients:
        """The Sobolev loss with its gradient."""
        if self.depth == 1:
            return match_one_layer(ACTIVATIONS[self.activation], weights, x, values, gradients, share, weight)
        return match_by_autograd(self, weights, x, values, gradients, share, weight)

    def module(self, weights: Sequence[Tensor], encoding: Encoding, shift: Tensor, spread: Tensor) -> nn.Sequential:
        """One student as a plain float32 network between the user's raw units.

        Scaling is folded into its weights, but where raw rows are encoded: there that is its first step.

        Args:
            weights: of one member, as ``init_params`` returns them.
            encoding: of raw rows.
            shift, spread: ``(O,)``, raw = shift + spread * normalized.
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

    def layout(self, encoding: Encoding, outputs: int) -> dict[str, Any]:
        """The architecture as a teacher's architecture file has it, so that a student can be a teacher."""
        layers = {"layers": [encoding.width, *[self.width] * self.depth, outputs], "activation": self.activation}
        return layers if encoding.folds else layers | {"encoding": encoding.tree()}

    def widest(self, features: int, outputs: int, max_parameters: int) -> int:
        """The largest width at this depth with at most ``max_parameters`` values; 0 when none fits."""
        low, high = 0, 100_000
        while low < high:
            middle = (low + high + 1) // 2
            fits = MLP(middle, self.depth).parameters(features, outputs) <= max_parameters
            low, high = (middle, high) if fits else (low, middle - 1)
        return low


def _pairs(values: Sequence[T]) -> list[tuple[T, T]]:
    return list(zip(values[::2], values[1::2], strict=True))
