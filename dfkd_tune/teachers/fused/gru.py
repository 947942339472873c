"""A layer of gated recurrent units (Cho et al. 2014, in the form of ``torch.nn.GRU``).

Everything is a sigmoid: with ``h = 1 - 2 g`` and ``tanh(a) = 1 - 2 s(-2 a)``, a step is

    r, z = s(...)    c = s(i + r q)    g' = c + z (g - c)

where the gates and ``q`` are linear in ``g``, because an interpolation commutes with an affine map. That is two products and four
operations a step. Buffers hold the blocks ``c, r, z, q``, ``H`` rows each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dfkd_tune.teachers.fused.base import Pullback
from dfkd_tune.teachers.fused.recurrent import Recurrent, backward_sigmoid, blocks

PLACES = ((0, 1), (1, 2), (2, 3), (3, 4), (1, 3), (1, 4))
"""Of c, r, z, q, both gates, and what is linear in the state."""


@dataclass(frozen=True)
class GRU(Recurrent):
    """``weight_ih`` is ``(4H, C + 1)``: c, r, z and the constant of q. ``weight_hh`` is ``(3H, H)``: r, z, q."""

    @classmethod
    def of(cls, weights: Sequence[Tensor], steps: int) -> GRU:
        weight_ih, weight_hh, bias_ih, bias_hh = (weight.double() for weight in weights)
        at_rest = bias_hh + weight_hh.sum(1)  # of g = 0
        r, z, candidate = torch.cat([weight_ih, bias_ih[:, None]], 1).chunk(3)
        own = at_rest.chunk(3)
        q = torch.zeros_like(candidate)
        for part, constant in zip((r, z, q), own, strict=True):
            part[:, -1] += constant
        like = weights[0]
        made = torch.cat([-2 * candidate, r, z, -2 * q])
        turned = torch.cat([-2 * part for part in weight_hh.chunk(3)[:2]] + [4 * weight_hh.chunk(3)[2]])
        return cls(made.to(like), turned.to(like), steps)

    def value(self, *inputs: Tensor) -> Tensor:
        windows, units = self.windows(inputs[0]), self.units
        rows = windows.shape[-1]
        made = windows.new_empty(1 if self.last else self.steps, units, rows)
        state = made.new_full((units, rows), 0.5)
        (buffer,) = blocks(made.new_empty(1, 4 * units, rows), units, PLACES)
        for t, x in enumerate(windows.unbind()):
            self._step(x, buffer, state, state)
            if not self.last:
                torch.sub(1, state, alpha=2, out=made[t])
        return torch.sub(1, state, alpha=2).unsqueeze(0) if self.last else made

    def _step(self, x: Tensor, buffer: tuple[Tensor, ...], before: Tensor, after: Tensor) -> None:
        whole, c, r, z, q, gates, linear = buffer
        torch.mm(self.weight_ih, x, out=whole)
        linear.addmm_(self.weight_hh, before)
        gates.sigmoid_()
        torch.lerp(c.addcmul_(r, q).sigmoid_(), before, z, out=after)

    def vjp(self, *inputs: Tensor) -> tuple[Tensor, Pullback]:
        windows, units = self.windows(inputs[0]), self.units
        rows = windows.shape[-1]
        states = windows.new_empty(self.steps + 1, units, rows)
        states[0] = 0.5
        buffers, each = blocks(windows.new_empty(self.steps, 4 * units, rows), units, PLACES), states.unbind()
        for x, buffer, before, after in zip(windows.unbind(), buffers, each[:-1], each[1:], strict=True):
            self._step(x, buffer, before, after)
        return torch.sub(1, states[-1:] if self.last else states[1:], alpha=2), lambda gradient: (
            self._pull(gradient, each, buffers),
        )

    def _pull(self, gradient: Tensor, states: Sequence[Tensor], buffers: Sequence[tuple[Tensor, ...]]) -> Tensor:
        units, rows = self.units, gradient.shape[-1]
        candidate = gradient.new_empty(units, rows)
        (pulled,) = blocks(gradient.new_empty(1, 4 * units, rows), units, PLACES)
        whole, dc, dr, dz, dq, dgates, dlinear = pulled
        own = whole[: 3 * units]
        found = gradient.new_empty(self.steps, self.weight_ih.shape[1] - 1, rows)
        input_weight, state_weight = self.weight_ih[: 3 * units, :-1].mT.contiguous(), self.weight_hh.mT.contiguous()
        gradient = -2 * gradient
        left, kept = gradient[-1].clone(), gradient.new_empty(units, rows)
        for t in range(self.steps - 1, -1, -1):
            _, c, r, z, q, gates, _ = buffers[t]
            torch.mul(left, z, out=kept)
            backward_sigmoid(torch.sub(left, kept, out=candidate), c, out=dc)
            torch.mul(dc, r, out=dq)
            torch.mul(dc, q, out=dr)
            torch.sub(states[t], c, out=dz).mul_(left)
            backward_sigmoid(dgates, gates, out=dgates)
            torch.mm(input_weight, own, out=found[t])
            left, kept = kept.addmm_(state_weight, dlinear), left
            if t:
                left = self.later(gradient, t - 1, left)
        return found
