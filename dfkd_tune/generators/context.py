"""What a generator sees: teacher and students answering the same rows, and the bounds of each member."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from dfkd_tune.inputs.geometry import Geometry
from dfkd_tune.utils.strategy import Stacked

Pullback = Callable[[Tensor], Tensor]
"""Vector-Jacobian product of answers already given."""


@dataclass
class GeneratorContext:
    """One group of k members whose generators share a structure, at one student step.

    Args:
        teacher: ``(n, D)`` to normalized answers ``(n, O)`` and their pullback ``(n, O) -> (n, D)``.
        answer: ``(n, D)`` to normalized answers alone.
        student: ``(k, n, D)`` to normalized answers ``(k, n, O)`` and their pullback ``(k, n, O) -> (k, n, D)``.
        one_student: the student of one member of the group, ``(index, (n, D)) -> (n, O)``.
        prior: draws ``(n, D)`` further prior rows for one member, ``(n, index)``.
        bounds: ``(slice, strategy, stacked)`` of difference bounds along k; likewise ``input_bounds``.
        geometry: of the inputs.
        units: ``(O,)`` mean and standard deviation of the teacher, in its units.
        project: back into what is declared of the inputs.
        nominal: features whose levels have no order; those of a moved row stay as they were drawn.
        rngs: one random stream a member.
        origin: ``(k, G, D)`` fresh prior rows; this and what follows are of one step.
        origin_values: ``(k, G, O)`` the teacher's answers there, known without asking.
        origin_gradients: ``(k, G, O, D)`` its input gradients there, or None.
        level: ``(k, 1, 1)`` each member's present RMSE on prior rows, normalized; None where no bound is adaptive.
        clocks: student steps done, a member.
        asked: teacher rows asked for so far, a member.
        asking: members that rows are asked for; the rest are computed along.
    """

    teacher: Callable[[Tensor], tuple[Tensor, Pullback]]
    answer: Callable[[Tensor], Tensor]
    student: Callable[[Tensor], tuple[Tensor, Pullback]]
    one_student: Callable[[int, Tensor], Tensor]
    prior: Callable[[int, int], Tensor]
    bounds: Sequence[tuple[slice, type, Stacked]]
    input_bounds: Sequence[tuple[slice, type, Stacked]]
    geometry: Geometry
    units: tuple[Tensor, Tensor]
    project: Callable[[Tensor], Tensor]
    nominal: Sequence[int]
    rngs: Sequence[torch.Generator]
    origin: Tensor = field(init=False)
    origin_values: Tensor = field(init=False)
    origin_gradients: Tensor | None = field(init=False)
    level: Tensor | None = field(init=False)
    clocks: Sequence[int] = field(init=False)
    asked: list[int] = field(init=False)
    asking: Sequence[int] = field(init=False)

    def begin(
        self, origin: Tensor, values: Tensor, gradients: Tensor | None, level: Tensor | None, clocks: Sequence[int]
    ) -> GeneratorContext:
        """The same context at another step."""
        self.origin, self.origin_values, self.origin_gradients = origin, values, gradients
        self.level, self.clocks = level, clocks
        self.asked, self.asking = [0] * len(clocks), range(len(clocks))
        return self

    def values(self, x: Tensor) -> tuple[Tensor, Pullback]:
        """The teacher's answers to ``(k, n, D)``, shape ``(k, n, O)``, and their pullback; at the origin both are known."""
        if x is self.origin and self.origin_gradients is not None:
            return self.origin_values, partial(_pulled, self.origin_gradients)
        self._count(x.shape[1])
        values, pull = self.teacher(x.reshape(-1, x.shape[-1]))
        outputs = values.shape[-1]
        return values.view(*x.shape[:-1], outputs), lambda gradient: pull(gradient.reshape(-1, outputs)).view(x.shape)

    def ask(self, x: Tensor) -> Tensor:
        """The teacher's answers to ``(k, n, D)`` alone."""
        self._count(x.shape[1])
        return self.answer(x.reshape(-1, x.shape[-1])).view(*x.shape[:-1], -1)

    def ask_one(self, k: int, z: Tensor) -> Tensor:
        """The teacher's answers to rows ``(n, D)`` on behalf of one member."""
        self.asked[k] += len(z)
        return self.answer(z)

    def objective_gradient(self, x: Tensor, gamma: Tensor, teacher: tuple[Tensor, Pullback] | None = None) -> Tensor:
        """Input gradient of ``mean over outputs [reward(T - S) - gamma S^2]``, row by row, ``(k, n, D)``.

        Args:
            x: ``(k, n, D)``.
            gamma: ``(k, 1, 1)``.
            teacher: answers and pullback, where they are not to be had from ``values``.
        """
        values, pull_teacher = teacher or self.values(x)
        answers, pull_student = self.student(x)
        outputs = values.shape[-1]
        gradient = self._gradient(values - answers)
        if outputs > 1:
            gradient = gradient / outputs
        return pull_teacher(gradient) - pull_student(torch.addcmul(gradient, gamma, answers, value=2.0 / outputs))

    def reward_of(self, k: int, gap: Tensor) -> Tensor:
        """What one member's difference bound makes of its gaps ``(n, O)``: the mean over outputs, ``(n,)``."""
        part, kind, h = next(bound for bound in self.bounds if bound[0].start <= k < bound[0].stop)
        one = kind.adapted(h, self._level(part)).only(k - part.start)
        return kind.reward(one, gap.unsqueeze(0)).squeeze(0).mean(-1)

    def contain(self, x: Tensor) -> Tensor:
        """Bring moved rows back within each member's input bound and into what is declared of the inputs."""
        if len(self.input_bounds) == 1:
            _, kind, h = self.input_bounds[0]
            return self.feasible(kind.contain(h, x, self.origin, self.geometry))
        parts = [kind.contain(h, x[part], self.origin[part], self.geometry) for part, kind, h in self.input_bounds]
        return self.feasible(torch.cat(parts))

    def feasible(self, x: Tensor) -> Tensor:
        """Rows ``(k, G, D)`` brought into what is declared, with the nominal features of the prior rows in their place."""
        x = self.project(x)
        if self.nominal:
            x[..., self.nominal] = self.origin[..., self.nominal]
        return x

    def inward(self, x: Tensor, uphill: Tensor) -> Tensor:
        """``uphill``, a direction at ``x``, without what leads further out of the declared ranges where ``x`` has left them.

        A network whose answers are projected would otherwise run away from every row that it can make.
        """
        low, high = self.geometry.low, self.geometry.high
        return uphill.masked_fill(((x >= high) & (uphill > 0)) | ((x <= low) & (uphill < 0)), 0.0)

    def noise(self, rows: int, width: int, members: Sequence[int] | None = None) -> Tensor:
        """Standard normal ``(k, rows, width)``, from the stream of each of ``members``; zero for the others."""
        like = self.origin
        drawn = torch.zeros(len(self.rngs), rows, width, dtype=like.dtype, device=like.device)
        for k in range(len(self.rngs)) if members is None else members:
            drawn[k] = torch.randn(rows, width, generator=self.rngs[k], dtype=like.dtype)
        return drawn

    def due(self, every: int, turns: int) -> Iterator[list[int]]:
        """Members whose clock is a multiple of ``every``, ``turns`` times."""
        members = [k for k, clock in enumerate(self.clocks) if clock % every == 0]
        for _ in range(turns if members else 0):
            self.asking = members
            yield members
        self.asking = range(len(self.clocks))

    def active(self, x: Tensor, gap: Tensor) -> tuple[Tensor, Tensor]:
        """Fractions of rows ``(k,)`` on which the difference bound and the input bound are active."""
        of_gap = [k.active(k.adapted(h, self._level(p)), gap[p]).any(-1).to(gap).mean(1) for p, k, h in self.bounds]
        of_input = [k.active(h, x[p], self.origin[p], self.geometry).to(x).mean(1) for p, k, h in self.input_bounds]
        return torch.cat(of_gap), torch.cat(of_input)

    def _gradient(self, gap: Tensor) -> Tensor:
        """Derivative of what each member's difference bound makes of its gaps, in the shape of the gaps."""
        if len(self.bounds) == 1:
            part, kind, h = self.bounds[0]
            return kind.gradient(kind.adapted(h, self._level(part)), gap)
        parts = [kind.gradient(kind.adapted(h, self._level(part)), gap[part]) for part, kind, h in self.bounds]
        return torch.cat(parts)

    def _level(self, part: slice) -> Tensor | None:
        return None if self.level is None else self.level[part]

    def _count(self, rows: int) -> None:
        for k in self.asking:
            self.asked[k] += rows


def _pulled(gradients: Tensor, gradient: Tensor) -> Tensor:
    """The pullback ``(k, n, O) -> (k, n, D)`` that known input gradients ``(k, n, O, D)`` are."""
    if gradient.shape[-1] == 1:
        return gradient * gradients.squeeze(2)
    return torch.linalg.vecdot(gradient.unsqueeze(3), gradients, dim=2)
