"""A layer of long short-term memory (Hochreiter & Schmidhuber 1997, in the form of ``torch.nn.LSTM``).

Everything is a sigmoid: with ``k = -2 c`` for the cell and ``tanh(a) = 1 - 2 s(-2 a)``, a step is

    i, f, o, u = s(...)    k' = f k + 4 i u - 2 i    h' = o - 2 o s(k')

That is two products and six operations a step. Buffers hold the blocks ``i, f, o, u``, ``H`` rows each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dfkd_tune.teachers.fused.base import Pullback
from dfkd_tune.teachers.fused.recurrent import Recurrent, backward_sigmoid, blocks

PLACES = ((0, 1), (1, 2), (2, 3), (3, 4))
"""Of i, f, o and u."""


@dataclass(frozen=True)
class LSTM(Recurrent):
    """``weight_ih`` is ``(4H, C + 1)``, ``weight_hh`` is ``(4H, H)``; both hold i, f, o and u."""

    @classmethod
    def of(cls, weights: Sequence[Tensor], steps: int) -> LSTM:
        weight_ih, weight_hh, bias_ih, bias_hh = weights
        both = torch.cat([weight_ih, (bias_ih + bias_hh)[:, None]], 1)
        return cls(_ordered(both), _ordered(weight_hh), steps)

    def value(self, *inputs: Tensor) -> Tensor:
        windows, units = self.windows(inputs[0]), self.units
        rows = windows.shape[-1]
        made = windows.new_zeros(1 if self.last else self.steps, units, rows)
        cell, end = made.new_zeros(units, rows), made.new_empty(units, rows)
        state = made.new_zeros(units, rows)
        (buffer,) = blocks(made.new_empty(1, 4 * units, rows), units, PLACES)
        for t, x in enumerate(windows.unbind()):
            after = made[0 if self.last else t]
            self._step(x, buffer, state, cell, cell, end, after)
            state = after
        return made

    def _step(
        self,
        x: Tensor,
        buffer: tuple[Tensor, ...],
        before: Tensor,
        cell: Tensor,
        cell_after: Tensor,
        end: Tensor,
        after: Tensor,
    ) -> None:
        whole, i, f, o, u = buffer
        torch.mm(self.weight_ih, x, out=whole)
        whole.addmm_(self.weight_hh, before).sigmoid_()
        torch.mul(f, cell, out=cell_after).addcmul_(i, u, value=4).sub_(i, alpha=2)
        torch.addcmul(o, o, torch.sigmoid(cell_after, out=end), value=-2, out=after)

    def vjp(self, *inputs: Tensor) -> tuple[Tensor, Pullback]:
        windows, units = self.windows(inputs[0]), self.units
        rows = windows.shape[-1]
        states, cells = (part.unbind() for part in windows.new_zeros(2, self.steps + 1, units, rows))
        buffers = blocks(windows.new_empty(self.steps, 4 * units, rows), units, PLACES)
        ends = windows.new_empty(self.steps, units, rows).unbind()
        for t, x in enumerate(windows.unbind()):
            self._step(x, buffers[t], states[t], cells[t], cells[t + 1], ends[t], states[t + 1])
        made = states[-1].unsqueeze(0) if self.last else torch.stack(states[1:])
        return made, lambda gradient: (self._pull(gradient, buffers, cells, ends),)

    def _pull(
        self,
        gradient: Tensor,
        buffers: Sequence[tuple[Tensor, ...]],
        cells: Sequence[Tensor],
        ends: Sequence[Tensor],
    ) -> Tensor:
        units, rows = self.units, gradient.shape[-1]
        end = gradient.new_empty(units, rows)
        ((pulled, di, df, do, du),) = blocks(gradient.new_empty(1, 4 * units, rows), units, PLACES)
        found = gradient.new_empty(self.steps, self.weight_ih.shape[1] - 1, rows)
        input_weight, state_weight = self.weight_ih[:, :-1].mT.contiguous(), self.weight_hh.mT.contiguous()
        left, cell = gradient[-1].clone(), gradient.new_zeros(units, rows)
        for t in range(self.steps - 1, -1, -1):
            whole, i, f, o, u = buffers[t]
            torch.addcmul(left, left, ends[t], value=-2, out=do)
            cell.add_(backward_sigmoid(torch.mul(left, o, out=end), ends[t], out=end), alpha=-2)
            torch.mul(cell, cells[t], out=df)
            torch.mul(cell, i, out=du).mul_(4)
            torch.mul(cell, u, out=di).mul_(4).sub_(cell, alpha=2)
            cell.mul_(f)
            backward_sigmoid(pulled, whole, out=pulled)
            torch.mm(input_weight, pulled, out=found[t])
            left = torch.mm(state_weight, pulled, out=left)
            if t:
                left = self.later(gradient, t - 1, left)
        return found


def _ordered(weight: Tensor) -> Tensor:
    """PyTorch's order i, f, tanh, o as i, f, o, u."""
    i, f, candidate, o = weight.chunk(4)
    return torch.cat([i, f, o, -2 * candidate])
