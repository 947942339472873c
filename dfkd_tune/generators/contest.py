"""What a generator sees: teacher and students answering the same rows, and the bounds of each member."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..strategy import Stacked

Pullback = Callable[[Tensor], Tensor]
"""Vector-Jacobian product of answers already given."""


@dataclass
class Contest:
    """One group of k members whose generators share a structure, at one student step.

    Args:
        origin: ``(k, G, D)`` fresh prior rows.
        origin_values: ``(k, G, O)`` the teacher's answers there, known without asking.
        origin_slopes: ``(k, G, O, D)`` its input gradients there, or None.
        teacher: ``(n, D)`` to normalized answers ``(n, O)`` and their pullback ``(n, O) -> (n, D)``.
        student: ``(k, n, D)`` to normalized answers ``(k, n, O)`` and their pullback ``(k, n, O) -> (k, n, D)``.
        bounds: ``(slice, strategy, stacked)`` of difference bounds along k; likewise ``input_bounds``.
        project: back into the declared ranges and levels.
        clocks: student steps done, a member.
        rngs: one random stream a member.
    """

    origin: Tensor
    origin_values: Tensor
    origin_slopes: Tensor | None
    teacher: Callable[[Tensor], tuple[Tensor, Pullback]]
    student: Callable[[Tensor], tuple[Tensor, Pullback]]
    bounds: Sequence[tuple[slice, type, Stacked]]
    input_bounds: Sequence[tuple[slice, type, Stacked]]
    project: Callable[[Tensor], Tensor]
    clocks: Sequence[int]
    rngs: Sequence[torch.Generator]

    def values(self, x: Tensor) -> tuple[Tensor, Pullback]:
        """The teacher's answers to ``(k, n, D)``, shape ``(k, n, O)``, and their pullback; at the origin both are known."""
        if x is self.origin and self.origin_slopes is not None:
            return self.origin_values, lambda slope: (slope.unsqueeze(2) @ self.origin_slopes).squeeze(2)
        values, pull = self.teacher(x.reshape(-1, x.shape[-1]))
        outputs = values.shape[-1]
        return values.view(*x.shape[:-1], outputs), lambda slope: pull(slope.reshape(-1, outputs)).view(x.shape)

    def objective_slope(self, x: Tensor, gamma: Tensor) -> Tensor:
        """Input gradient of ``mean over outputs [reward(T - S) - gamma S^2]``, row by row, ``(k, n, D)``."""
        values, pull_teacher = self.values(x)
        answers, pull_student = self.student(x)
        slope = self._slope(values - answers) / values.shape[-1]
        return pull_teacher(slope) - pull_student(slope + (2.0 / values.shape[-1]) * gamma * answers)

    def _slope(self, gap: Tensor) -> Tensor:
        """Derivative of what each member's difference bound makes of its gaps, in the shape of the gaps."""
        if len(self.bounds) == 1:
            _, kind, h = self.bounds[0]
            return kind.slope(h, gap)
        return torch.cat([kind.slope(h, gap[part]) for part, kind, h in self.bounds])

    def contain(self, x: Tensor) -> Tensor:
        """Bring moved rows back within each member's input bound and into the declared ranges and levels."""
        if len(self.input_bounds) == 1:
            _, kind, h = self.input_bounds[0]
            return self.project(kind.contain(h, x, self.origin))
        parts = [kind.contain(h, x[part], self.origin[part]) for part, kind, h in self.input_bounds]
        return self.project(torch.cat(parts))
