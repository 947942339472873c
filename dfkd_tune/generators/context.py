"""What a generator can use: teacher, students, prior rows, and the bounds of each member.

Notation: k members, G synthetic rows, D features, O outputs. Outputs are normalized, inputs standardized.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from dfkd_tune.inputs.geometry import Geometry
from dfkd_tune.inputs.missing import missing_as, present
from dfkd_tune.utils.strategy import Stacked

Pullback = Callable[[Tensor], Tensor]
"""Vector-Jacobian product of a forward pass: maps a gradient in the outputs to the gradient in the inputs."""


@dataclass
class GeneratorContext:
    """The context of one student step, for a group of k members whose generators share a structure.

    Args:
        teacher: maps ``(n, D)`` to teacher outputs ``(n, O)`` and their pullback ``(n, O) -> (n, D)``.
        answer: maps ``(n, D)`` to teacher outputs ``(n, O)`` without a pullback.
        mismatch: maps ``(k, n, D)`` to the gradients ``(k, n, D)`` of each member's mismatch with the moments that the teacher's batch
            normalization stores; zeros for a teacher without one.
        student: maps ``(k, n, D)`` to student outputs ``(k, n, O)`` and their pullback ``(k, n, O) -> (k, n, D)``.
        one_student: the student of one member, ``(index, (n, D)) -> (n, O)``.
        prior: draws n more prior rows for one member with the teacher's outputs, which cost no query: ``(n, index) -> (n, D), (n, O)``.
        bounds: gap bounds as ``(slice of the members, class, stacked hyper-parameters)``; likewise ``input_bounds``.
        geometry: declared ranges and covariance of the inputs.
        units: the teacher's mean and standard deviation in its own units, ``(O,)`` each.
        project: moves rows into the declared ranges and levels.
        nominal: indices of features whose levels have no order; a moved row keeps their drawn values.
        gapped: indices of numbers that may be missing, which is NaN; a moved row keeps what was drawn missing.
        rngs: random stream of each member.
        origin: fresh prior rows ``(k, G, D)`` of this step, like all attributes that follow.
        origin_values: teacher outputs ``(k, G, O)`` at the origin, which cost no query.
        origin_gradients: the teacher's input gradients ``(k, G, O, D)`` at the origin, or None.
        level: each member's current normalized RMSE on prior rows, ``(k, 1, 1)``; None if no bound is adaptive.
        clocks: student steps done by each member.
        queries: number of teacher rows queried in this step for each member.
        counted: members whose queries are counted; the rows of the others are computed but not used.
    """

    teacher: Callable[[Tensor], tuple[Tensor, Pullback]]
    answer: Callable[[Tensor], Tensor]
    mismatch: Callable[[Tensor], Tensor]
    student: Callable[[Tensor], tuple[Tensor, Pullback]]
    one_student: Callable[[int, Tensor], Tensor]
    prior: Callable[[int, int], tuple[Tensor, Tensor]]
    bounds: Sequence[tuple[slice, type, Stacked]]
    input_bounds: Sequence[tuple[slice, type, Stacked]]
    geometry: Geometry
    units: tuple[Tensor, Tensor]
    project: Callable[[Tensor], Tensor]
    nominal: Sequence[int]
    gapped: Sequence[int]
    rngs: Sequence[torch.Generator]
    origin: Tensor = field(init=False)
    origin_values: Tensor = field(init=False)
    origin_gradients: Tensor | None = field(init=False)
    level: Tensor | None = field(init=False)
    clocks: Sequence[int] = field(init=False)
    queries: list[int] = field(init=False)
    counted: Sequence[int] = field(init=False)

    def begin(
        self, origin: Tensor, values: Tensor, gradients: Tensor | None, level: Tensor | None, clocks: Sequence[int]
    ) -> GeneratorContext:
        """The same context, set up for the next step."""
        self.origin, self.origin_values, self.origin_gradients = origin, values, gradients
        self.level, self.clocks = level, clocks
        self.queries, self.counted = [0] * len(clocks), range(len(clocks))
        return self

    def values(self, x: Tensor) -> tuple[Tensor, Pullback]:
        """Teacher outputs ``(k, n, O)`` at rows ``(k, n, D)``, and their pullback; at the origin both are known without a query."""
        if x is self.origin and self.origin_gradients is not None:
            return self.origin_values, partial(_pulled, self.origin_gradients)
        self._count(x.shape[1])
        values, pull = self.teacher(x.reshape(-1, x.shape[-1]))
        outputs = values.shape[-1]
        return values.view(*x.shape[:-1], outputs), lambda gradient: pull(gradient.reshape(-1, outputs)).view(x.shape)

    def query(self, x: Tensor) -> Tensor:
        """Teacher outputs ``(k, n, O)`` at rows ``(k, n, D)``, without a pullback."""
        self._count(x.shape[1])
        return self.answer(x.reshape(-1, x.shape[-1])).view(*x.shape[:-1], -1)

    def query_one(self, k: int, z: Tensor) -> Tensor:
        """Teacher outputs ``(n, O)`` at rows ``(n, D)``, counted as queries of member ``k``."""
        self.queries[k] += len(z)
        return self.answer(z)

    def objective_gradient(self, x: Tensor, gamma: Tensor, teacher: tuple[Tensor, Pullback] | None = None) -> Tensor:
        """Input gradient ``(k, n, D)`` of ``mean over outputs [reward(T - S) - gamma S^2]`` for each row.

        Args:
            x: rows ``(k, n, D)``.
            gamma: penalty on large student outputs, ``(k, 1, 1)``.
            teacher: teacher outputs and pullback; default: those of ``values``.
        """
        values, pull_teacher = teacher or self.values(x)
        answers, pull_student = self.student(x)
        outputs = values.shape[-1]
        gradient = self._gradient(values - answers)
        if outputs > 1:
            gradient = gradient / outputs
        return pull_teacher(gradient) - pull_student(torch.addcmul(gradient, gamma, answers, value=2.0 / outputs))

    def mismatch_gradient(self, x: Tensor) -> Tensor:
        """Input gradients ``(k, n, D)`` of each member's mismatch with the teacher's batch normalization at rows ``(k, n, D)``."""
        self._count(x.shape[1])
        return self.mismatch(x)

    def reward_of(self, k: int, gap: Tensor) -> Tensor:
        """Reward ``(n,)`` that the gap bound of member ``k`` gives its gaps ``(n, O)``, averaged over outputs."""
        part, kind, h = next(bound for bound in self.bounds if bound[0].start <= k < bound[0].stop)
        one = kind.adapted(h, self._level(part)).only(k - part.start)
        return kind.reward(one, gap.unsqueeze(0)).squeeze(0).mean(-1)

    def contain(self, x: Tensor) -> Tensor:
        """Move rows ``(k, G, D)`` back into each member's input bound and into the declared ranges and levels."""
        x, origin = self.present(x), self.present(self.origin)
        if len(self.input_bounds) == 1:
            _, kind, h = self.input_bounds[0]
            return self.feasible(kind.contain(h, x, origin, self.geometry))
        parts = [kind.contain(h, x[part], origin[part], self.geometry) for part, kind, h in self.input_bounds]
        return self.feasible(torch.cat(parts))

    def present(self, x: Tensor) -> Tensor:
        """Rows ``(..., D)`` with the center in place of missing numbers, for distances and sums over coordinates."""
        return present(x, self.gapped)

    def feasible(self, x: Tensor) -> Tensor:
        """Rows ``(k, G, D)`` moved into the declared ranges and levels; nominal features and missing numbers are those of the
        prior rows."""
        x = self.project(x)
        if self.nominal:
            at = torch.tensor(self.nominal, device=x.device)
            x = x.index_copy(-1, at, self.origin.index_select(-1, at))
        return missing_as(x, self.origin, self.gapped)

    def inward(self, x: Tensor, uphill: Tensor) -> Tensor:
        """The direction ``uphill`` at ``x``, with 0 for coordinates that would move further out of their declared range.

        The outputs of a generator network are projected. Without this, the network would drift ever further out of the ranges.
        """
        low, high = self.geometry.low, self.geometry.high
        return uphill.masked_fill(((x >= high) & (uphill > 0)) | ((x <= low) & (uphill < 0)), 0.0)

    def noise(self, rows: int, width: int, members: Sequence[int] | None = None) -> Tensor:
        """Standard normal noise ``(k, rows, width)`` from the streams of ``members``; zeros for the other members."""
        like = self.origin
        drawn = torch.zeros(len(self.rngs), rows, width, dtype=like.dtype, device=like.device)
        for k in range(len(self.rngs)) if members is None else members:
            drawn[k] = torch.randn(rows, width, generator=self.rngs[k], dtype=like.dtype)
        return drawn

    def due(self, every: int, turns: int) -> Iterator[list[int]]:
        """Yield, ``turns`` times, the members whose clock is a multiple of ``every``."""
        members = [k for k, clock in enumerate(self.clocks) if clock % every == 0]
        for _ in range(turns if members else 0):
            self.counted = members
            yield members
        self.counted = range(len(self.clocks))

    def active(self, x: Tensor, gap: Tensor) -> tuple[Tensor, Tensor]:
        """Fractions of rows ``(k,)`` on which the gap bound and the input bound are active."""
        of_gap = [kind.active(kind.adapted(h, self._level(part)), gap[part]).any(-1) for part, kind, h in self.bounds]
        x, origin = self.present(x), self.present(self.origin)
        of_input = [kind.active(h, x[part], origin[part], self.geometry) for part, kind, h in self.input_bounds]
        return torch.cat(of_gap).to(gap).mean(1), torch.cat(of_input).to(x).mean(1)

    def _gradient(self, gap: Tensor) -> Tensor:
        """Derivative of the reward that each member's gap bound gives its gaps, in the shape of the gaps."""
        if len(self.bounds) == 1:
            part, kind, h = self.bounds[0]
            return kind.gradient(kind.adapted(h, self._level(part)), gap)
        parts = [kind.gradient(kind.adapted(h, self._level(part)), gap[part]) for part, kind, h in self.bounds]
        return torch.cat(parts)

    def _level(self, part: slice) -> Tensor | None:
        return None if self.level is None else self.level[part]

    def _count(self, rows: int) -> None:
        for k in self.counted:
            self.queries[k] += rows


def _pulled(gradients: Tensor, gradient: Tensor) -> Tensor:
    """The vector-Jacobian product ``(k, n, D)`` of known input gradients ``(k, n, O, D)`` with ``gradient`` ``(k, n, O)``."""
    if gradient.shape[-1] == 1:
        return gradient * gradients.squeeze(2)
    return torch.linalg.vecdot(gradient.unsqueeze(3), gradients, dim=2)
