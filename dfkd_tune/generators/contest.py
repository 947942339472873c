"""What a generator sees: teacher and students answering the same rows, and the bounds of each member."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..strategy import Stacked


@dataclass
class Contest:
    """One group of k members whose generators share a structure, at one student step.

    Args:
        origin: ``(k, G, D)`` fresh prior rows.
        origin_values: ``(k, G, O)`` the teacher's answers there, known without asking.
        origin_slopes: ``(k, G, O, D)`` its input gradients there, or None.
        teacher: ``(n, D) -> (n, O)``, normalized.
        student: ``(k, n, D) -> (k, n, O)`` of all members of the group, or of the rows of the group given second.
        bounds: ``(slice, strategy, stacked)`` of difference bounds along k; likewise ``input_bounds``.
        project: back into the declared ranges and levels.
        clocks: student steps done, a member.
        rngs: one random stream a member.
    """

    origin: Tensor
    origin_values: Tensor
    origin_slopes: Tensor | None
    teacher: Callable[[Tensor], Tensor]
    student: Callable[..., Tensor]
    bounds: Sequence[tuple[slice, type, Stacked]]
    input_bounds: Sequence[tuple[slice, type, Stacked]]
    project: Callable[[Tensor], Tensor]
    clocks: Sequence[int]
    rngs: Sequence[torch.Generator]

    def values(self, x: Tensor) -> Tensor:
        """The teacher's answers to ``(k, n, D)``, shape ``(k, n, O)``; differentiable in ``x`` where the teacher is."""
        return self.teacher(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], -1)

    def values_near_origin(self, x: Tensor) -> Tensor:
        """The teacher at ``x == origin``, its gradient included, from what is known: no teacher pass."""
        if self.origin_slopes is None:
            return self.values(x)
        return self.origin_values + torch.einsum("kgod,kgd->kgo", self.origin_slopes, x - self.origin)

    def reward(self, gap: Tensor) -> Tensor:
        """What each member's difference bound makes of its gaps, ``(k, n, O)`` to ``(k, n)``: the mean over outputs."""
        if len(self.bounds) == 1:
            _, kind, h = self.bounds[0]
            return kind.reward(h, gap).mean(-1)
        return torch.cat([kind.reward(h, gap[part]) for part, kind, h in self.bounds]).mean(-1)

    def contain(self, x: Tensor) -> Tensor:
        """Bring moved rows back within each member's input bound and into the declared ranges and levels."""
        if len(self.input_bounds) == 1:
            _, kind, h = self.input_bounds[0]
            return self.project(kind.contain(h, x, self.origin))
        return self.project(
            torch.cat([kind.contain(h, x[part], self.origin[part]) for part, kind, h in self.input_bounds])
        )
