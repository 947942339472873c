"""The gated recurrent unit over a window, with hand-written gradients.

Notation: K members, N rows, E encoded columns, T steps, C channels, H units, O outputs. Students of different widths share one
batched pass: a unit with zero weights stays at 0, and training leaves its weights zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from dfkd_tune.inputs.columns import Columns, Kind
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.networks.gru import GRUArchitecture
from dfkd_tune.ops.matmul import few_columns
from dfkd_tune.students import gru_passes as passes
from dfkd_tune.students.autograd import AutogradStudent
from dfkd_tune.students.base import LossAndGradients, SobolevTarget
from dfkd_tune.students.sobolev import half
from dfkd_tune.utils.strategy import strategy

Tape = tuple[passes.Pass, Columns]


@strategy
class GRU(AutogradStudent):
    """One layer of gated recurrent units (Cho et al. 2014, in the form of ``torch.nn.GRU``) and a linear layer on its last state.

    Args:
        width: number of units.
    """

    width: Annotated[int, Field(ge=1, le=100_000)] = 12

    has_width: ClassVar[bool] = True
    takes: ClassVar[Kind | None] = "window"

    def held(self, columns: Columns) -> int:
        """At each step: three gates, candidate, state, their factors and gradients."""
        return columns.shaped("window")[0] * 16 * self.width

    def shapes(self, columns: Columns, outputs: int) -> list[tuple[int, ...]]:
        """Weights and biases of the channels, of the states, and of the linear layer; the gates are reset, update, candidate."""
        channels, units = columns.shaped("window")[-1], self.width
        return [(3, units, channels), (3, units), (3, units, units), (3, units), (units, outputs), (outputs,)]

    def structure(self) -> tuple[object, ...]:
        """Key that two students must have in common to share a batched pass; width is not part of it."""
        return ("gru",)

    def init_params(self, columns: Columns, outputs: int, rng: torch.Generator, dtype: torch.dtype) -> list[Tensor]:
        """Weights drawn as in ``nn.GRU`` and ``nn.Linear``: uniform within ``1 / sqrt(H)``."""
        reach = 1.0 / math.sqrt(self.width)
        drawn = (torch.rand(shape, generator=rng, dtype=torch.float64) for shape in self.shapes(columns, outputs))
        return [((2 * each - 1) * reach).to(dtype) for each in drawn]

    def answer(self, weights: Sequence[Tensor], x: Tensor, columns: Columns) -> Tensor:
        """Outputs ``(K, N, O)`` for stacked rows ``(K, N, E)``; differentiable by autograd."""
        return torch.baddbmm(weights[5].unsqueeze(1), self.hidden(weights, x, columns), weights[4])

    def hidden(self, weights: Sequence[Tensor], x: Tensor, columns: Columns) -> Tensor:
        """States ``(K, N, H)`` after the last step."""
        into, into_bias, onward, onward_bias = (weight.flatten(1, 2) for weight in weights[:4])
        windows = columns.arranged(x, "window").permute(2, 0, 3, 1)
        units, state = onward.shape[2], x.new_zeros(len(x), onward.shape[2], x.shape[1])
        for own in into @ windows + into_bias.unsqueeze(-1):
            gates = torch.baddbmm(onward_bias.unsqueeze(-1), onward, state)
            r, z = torch.sigmoid(own[:, : 2 * units] + gates[:, : 2 * units]).split(units, dim=1)
            candidate = torch.tanh(torch.addcmul(own[:, 2 * units :], r, gates[:, 2 * units :]))
            state = torch.lerp(candidate, state, z)
        return state.mT

    def forward_with_tape(self, weights: Sequence[Tensor], x: Tensor, columns: Columns) -> tuple[Tensor, Tape]:
        """Outputs, with the tape that ``weight_gradients`` and ``input_gradients`` need."""
        run = passes.forward(weights[:4], columns.arranged(x, "window"))
        return torch.baddbmm(weights[5].unsqueeze(1), run.last.mT, weights[4]), (run, columns)

    def weight_gradients(self, weights: Sequence[Tensor], tape: Tape, gradient: Tensor) -> list[Tensor]:
        """Gradients of ``sum(gradient * outputs)`` in the weights, with ``gradient`` ``(K, N, O)``."""
        run, _ = tape
        pulled = passes.backward(run, torch.bmm(weights[4], gradient.mT))
        return [*passes.weight_gradients(run, pulled), few_columns(run.last, gradient), gradient.sum(1)]

    def input_gradients(self, weights: Sequence[Tensor], tape: Tape, gradient: Tensor) -> Tensor:
        """Gradient ``(K, N, E)`` of ``sum(gradient * outputs)`` in the inputs."""
        run, columns = tape
        pulled = passes.backward(run, torch.bmm(weights[4], gradient.mT))
        return columns.back(passes.input_gradients(run, pulled).flatten(2), "window")

    def by_hand(self, gradients: bool) -> bool:
        """A training step needs no autograd."""
        return True

    def loss_and_gradients(
        self, weights: Sequence[Tensor], x: Tensor, columns: Columns, target: SobolevTarget
    ) -> LossAndGradients:
        """The Sobolev loss and its gradient. With several outputs, each row is evaluated once for each of them."""
        values, gradients, share, weight = target
        members, rows, outputs = values.shape
        out, shift = weights[4:]
        each = x if outputs == 1 else x.repeat_interleave(outputs, dim=1)  # (K, N O, E)
        run = passes.forward(weights[:4], columns.arranged(each, "window"))
        last = run.last.unflatten(2, (rows, outputs))
        answers = torch.baddbmm(shift.unsqueeze(1), last[..., 0].mT, out)
        pulled = passes.backward(run, out.unsqueeze(2).expand_as(last).flatten(2))
        found = columns.back(passes.input_gradients(run, pulled).flatten(2), "window")
        gap, gradient_gap = answers - values, (found - gradients.flatten(1, 2)).reshape(members, rows, -1)
        scale = share * (2 / outputs)
        pull, gradient_pull = gap * scale, gradient_gap * (scale * weight)
        along = passes.tangent(run, columns.arranged(gradient_pull.reshape(each.shape), "window"))
        pulls = pull.unsqueeze(1)
        to_states = passes.weight_gradients_along(run, pulled, along, (out.unsqueeze(2) * pulls).flatten(2))
        to_out = (last * pulls + along.states[-1].unflatten(2, (rows, outputs))).sum(2)
        return LossAndGradients(
            answers, [*to_states, to_out, pull.sum(1)], lambda: half(pull, gap) + half(gradient_pull, gradient_gap)
        )

    def module(
        self, weights: Sequence[Tensor], columns: Columns, encoding: Encoding, shift: Tensor, spread: Tensor
    ) -> nn.Module:
        """One member as a float32 network from raw rows to raw outputs; the linear layer gives raw outputs."""
        into, into_bias, onward, onward_bias, out, bias = (weight.double() for weight in weights)
        state = {
            "weight_ih": into.flatten(0, 1),
            "weight_hh": onward.flatten(0, 1),
            "bias_ih": into_bias.flatten(),
            "bias_hh": onward_bias.flatten(),
            "out.weight": (out * spread).T,
            "out.bias": bias * spread + shift,
        }
        made = GRUArchitecture(columns, encoding, len(shift), self.width)
        return made.module({name: value.float().contiguous() for name, value in state.items()})

    def layout(self, columns: Columns, encoding: Encoding, outputs: int) -> dict[str, Any]:
        """Content of ``architecture.yaml``, with which a student's weights can be loaded as a teacher."""
        return GRUArchitecture(columns, encoding, outputs, self.width).tree()
