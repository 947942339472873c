"""Passes of stacked gated recurrent units over windows, with their derivatives by hand.

Notation: K members, T steps, C channels, H units, N rows. A step computes, with gates r, z and the candidate n,

    r = sigmoid(i_r + U_r h)    z = sigmoid(i_z + U_z h)    q = U_n h + b_n    n = tanh(i_n + r q)    h' = n + z (h - n)

where ``i`` is a linear function of the step's channels. Backwards, every gate's gradient is a factor times that of ``h'``, so
that all factors are computed at once, and a step is two products and one sum. Rows are the last dimension, so that the parts of
a gate are contiguous.

The gradient of ``v . dS/dx`` in the weights is the derivative of ``dS/dw`` along ``v`` (Pearlmutter 1994). So the Sobolev loss
takes a pass forward and one backward, and both once more for their derivatives along ``v``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Pass:
    """A forward pass over all steps.

    Args:
        into, onward: weights of the channels ``(K, 3H, C)`` and of the states ``(K, 3H, H)``.
        x: windows ``(T, K, C, N)``.
        gates: ``r``, ``z`` and ``q`` at each step, ``(T, K, 3H, N)``.
        n: candidates ``(T, K, H, N)``.
        states: states before each step and after the last, ``(T + 1, K, H, N)``.
    """

    into: Tensor
    onward: Tensor
    x: Tensor
    gates: Tensor
    n: Tensor
    states: Tensor

    @property
    def units(self) -> int:
        """Number of units H."""
        return self.n.shape[2]

    @property
    def last(self) -> Tensor:
        """States after the last step, ``(K, H, N)``."""
        return self.states[-1]

    @cached_property
    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """``r``, ``z`` and ``q``, ``(T, K, H, N)`` each."""
        r, z, q = self.gates.split(self.units, dim=2)
        return r, z, q

    @cached_property
    def candidate_factor(self) -> Tensor:
        """Derivative of ``h'`` in the argument of tanh, ``(T, K, H, N)``."""
        return (1 - self.parts[1]).mul_(1 - self.n.square())

    @cached_property
    def factors(self) -> Tensor:
        """Derivatives of ``h'`` in the arguments of r and z and in q, ``(T, K, 3, H, N)``."""
        r, z, q = self.parts
        found = self.gates.new_empty(*r.shape[:2], 3, *r.shape[2:])
        torch.mul(self.candidate_factor, r, out=found[:, :, 2])
        torch.mul(found[:, :, 2], (1 - r).mul_(q), out=found[:, :, 0])
        torch.mul((1 - z).mul_(z), self.states[:-1] - self.n, out=found[:, :, 1])
        return found


@dataclass(frozen=True)
class Pulled:
    """A backward pass: the gradients of one number for each row.

    Args:
        states: in the state after each step, ``(T, K, H, N)``.
        gates: in the arguments of r and z and in q, ``(T, K, 3, H, N)``.
        into: in ``i``, ``(T, K, 3, H, N)``.
    """

    states: Tensor
    gates: Tensor
    into: Tensor


def forward(weights: Sequence[Tensor], windows: Tensor) -> Pass:
    """Run all steps.

    Args:
        weights: ``(K, 3, H, C)``, ``(K, 3, H)``, ``(K, 3, H, H)`` and ``(K, 3, H)``: weights and biases of the channels, then of
            the states.
        windows: ``(K, N, T, C)``.
    """
    into, into_bias, onward, onward_bias = weights
    units = into.shape[2]
    into, onward, x = into.flatten(1, 2), onward.flatten(1, 2), windows.permute(2, 0, 3, 1).contiguous()
    bias = into_bias.clone()
    bias[:, :2] += onward_bias[:, :2]
    gates = (into @ x).add_(bias.flatten(1).unsqueeze(-1))
    own = gates[:, :, 2 * units :].mul(-2)  # tanh(a) = 1 - 2 sigmoid(-2a), which is several times faster
    gates[:, :, 2 * units :] = onward_bias[:, 2].unsqueeze(-1)
    states = gates.new_zeros(len(x) + 1, *own.shape[1:])
    for gate, candidate, before, after in zip(gates, own, states[:-1], states[1:], strict=True):
        gate.baddbmm_(onward, before)
        r, z = gate[:, : 2 * units].sigmoid_().split(units, dim=1)
        candidate.addcmul_(r, gate[:, 2 * units :], value=-2).sigmoid_().mul_(-2).add_(1)
        torch.lerp(candidate, before, z, out=after)
    return Pass(into, onward, x, gates, own, states)


def backward(run: Pass, gradient: Tensor) -> Pulled:
    """Gradients of ``sum(gradient * run.last)``, with ``gradient`` ``(K, H, N)``."""
    factors, z, back = run.factors, run.parts[1], run.onward.mT
    gates, states = torch.empty_like(factors), torch.empty_like(run.n)
    for t in range(len(z) - 1, -1, -1):
        states[t] = gradient
        torch.mul(factors[t], gradient.unsqueeze(1), out=gates[t])
        gradient = torch.baddbmm(z[t] * gradient, back, gates[t].flatten(1, 2))
    return Pulled(states, gates, _into(gates, run.candidate_factor * states))


def _into(gates: Tensor, candidate: Tensor) -> Tensor:
    """Gradients in ``i``: those of the gates, with the candidate's in place of q's."""
    return torch.cat([gates[:, :, :2], candidate.unsqueeze(2)], dim=2)


def input_gradients(run: Pass, pulled: Pulled) -> Tensor:
    """Gradients in the windows, ``(K, N, T, C)``."""
    return (run.into.mT @ pulled.into.flatten(2, 3)).permute(1, 3, 0, 2)


def weight_gradients(run: Pass, pulled: Pulled) -> list[Tensor]:
    """Gradients in the weights, in the shapes that ``forward`` takes."""
    return [
        _outer(pulled.into, run.x),
        pulled.into.sum((0, 4)),
        _outer(pulled.gates, run.states[:-1]),
        pulled.gates.sum((0, 4)),
    ]


def _outer(gates: Tensor, seen: Tensor) -> Tensor:
    """Sum over steps and rows of the outer products of ``(T, K, 3, H, N)`` and ``(T, K, C, N)``: ``(K, 3, H, C)``."""
    return (gates.flatten(2, 3) @ seen.mT).sum(0).unflatten(1, gates.shape[2:4])


@dataclass(frozen=True)
class Tangent:
    """The derivative of a forward pass when the windows move along a direction.

    Args:
        x: the direction, ``(T, K, C, N)``.
        gates: derivatives of the arguments of r and z and of q, ``(T, K, 3H, N)``.
        n: derivatives of the candidates, ``(T, K, H, N)``.
        states: derivatives of the states, ``(T + 1, K, H, N)``.
    """

    x: Tensor
    gates: Tensor
    n: Tensor
    states: Tensor


def tangent(run: Pass, direction: Tensor) -> Tangent:
    """The derivative of a pass along a direction of the windows, ``(K, N, T, C)``."""
    units, factors, (r, z, q) = run.units, run.factors, run.parts
    x = direction.permute(2, 0, 3, 1).contiguous()
    gates = run.into @ x
    own = gates[:, :, 2 * units :].clone()
    gates[:, :, 2 * units :] = 0.0
    moved = run.candidate_factor * own
    states = gates.new_zeros(len(x) + 1, *own.shape[1:])
    for t, gate in enumerate(gates):
        gate.baddbmm_(run.onward, states[t])
        step = torch.addcmul(moved[t], z[t], states[t])
        torch.add(step, (factors[t] * gate.unflatten(1, (3, units))).sum(1), out=states[t + 1])
    r_gate, _, q_gate = gates.split(units, dim=2)
    n = own.addcmul_(r, q_gate).addcmul_((1 - r).mul_(r).mul_(q), r_gate).mul_(1 - run.n.square())
    return Tangent(x, gates, n, states)


def weight_gradients_along(run: Pass, pulled: Pulled, along: Tangent, gradient: Tensor) -> list[Tensor]:
    """The derivative of ``weight_gradients(run, pulled)`` along a direction, plus the gradients of ``sum(gradient * run.last)``.

    Args:
        run: a forward pass.
        pulled: its backward pass, from a gradient that does not depend on the windows.
        along: its derivative along the direction.
        gradient: ``(K, H, N)``.
    """
    (r, z, q), n, units = run.parts, run.n, run.units
    r_move, z_move, q_move = along.gates.split(units, dim=2)
    r_move, z_move = r_move * r * (1 - r), z_move * z * (1 - z)
    flat = 1 - n.square()
    candidate = (1 - z).mul_(n).mul_(along.n).mul_(-2).addcmul_(z_move, flat, value=-1)
    factors = torch.empty_like(run.factors)
    torch.mul(candidate, r, out=factors[:, :, 2]).addcmul_(run.candidate_factor, r_move)
    steep = (1 - r).mul_(r)
    factors[:, :, 0] = (candidate * q).addcmul_(run.candidate_factor, q_move).mul_(steep)
    factors[:, :, 0].addcmul_(run.candidate_factor * q, (1 - 2 * r).mul_(r_move))
    factors[:, :, 1] = (along.states[:-1] - along.n).mul_((1 - z).mul_(z))
    factors[:, :, 1].addcmul_(run.states[:-1] - n, (1 - 2 * z).mul_(z_move))
    gates, states = factors.mul_(pulled.states.unsqueeze(2)), torch.empty_like(n)
    carried, back = z_move.mul_(pulled.states), run.onward.mT
    for t in range(len(z) - 1, -1, -1):
        states[t] = gradient
        gates[t].addcmul_(run.factors[t], gradient.unsqueeze(1))
        gradient = torch.baddbmm(carried[t].addcmul_(z[t], gradient), back, gates[t].flatten(1, 2))
    moved = Pulled(states, gates, _into(gates, candidate.mul_(pulled.states).addcmul_(run.candidate_factor, states)))
    first = weight_gradients(run, moved)
    first[0] += _outer(pulled.into, along.x)
    first[2] += _outer(pulled.gates, along.states[:-1])
    return first
