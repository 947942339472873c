"""Search for the largest gap between student and teacher with a fixed number of teacher queries.

Notation: n rows under attack, their prior rows ``origin (n, D)`` and current positions ``z (n, D)``, standardized. A gap is the
largest ``|student - teacher|`` over outputs, in units of each output's spread. The result is a lower bound of the worst case,
never an upper bound.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from dfkd_tune.errors import QueriesSpent
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils.seeding import stream

RADIUS = 0.5
"""Largest distance from the prior row in any feature, in standard deviations."""
STARTS, STEPS, RESTARTS = 512, 50, 2
"""Prior rows attacked, steps and restarts: about 51,200 teacher queries. A slow teacher gets at most as many as its pool has rows."""
LEAST_STEPS = 10
"""Fewest steps of an attack within a number of rows; with fewer rows, fewer prior rows are attacked."""
MOST_RESTARTS = 20
"""Most restarts of such an attack: its rows may be known already, which costs nothing."""

Answer = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Found:
    """The result of an attack.

    Args:
        z: standardized row ``(D,)`` with the largest gap.
        origin: prior row ``(D,)`` from which it was reached.
        starts, rows: number of prior rows attacked, and of teacher queries.
        unanswered: number of rows whose gap is not finite; ``z`` is none of them.
        method: ``gradient``, ``random``, or ``none`` if no row could be asked: then it is the worst row of the report bank.
    """

    z: Tensor
    origin: Tensor
    starts: int
    rows: int
    unanswered: int
    method: str


def attack(problem: Problem, student: Answer, unit: Tensor, gaps: Tensor) -> Found:
    """Attack the worst rows of the report bank and random others, each from the row itself and from a point nearby.

    Args:
        problem: the problem; its seed sets all random numbers.
        student: maps rows ``(n, D)`` to normalized outputs ``(n, O)``.
        unit: spread ``(O,)`` of each output, normalized.
        gaps: gaps ``(N,)`` on the report bank, from which the worst rows are chosen.
    """
    before, limit = problem.attack or (0, None)
    rng = stream(problem.seed, "attack", *([before] if before else []))
    z = problem.banks["report"].z
    starts, steps = _sizes(problem, limit)
    if not starts:
        return unattacked(problem, gaps)
    worst = max(starts // 8, min(8, starts // 2), 1 if starts == 1 else 0)
    order = gaps.argsort(descending=True, stable=True)
    others = worst + torch.randperm(len(z) - worst, generator=rng)[: starts - worst].to(order.device)
    origin = z[torch.cat([order[:worst], order[others]])]
    gradients = problem.probe.differentiable and _has_gradients(student, origin[:2])
    aim = _Aim(problem, student, unit, origin)
    climb = _ascend if gradients else _search
    # Other processes, or one that died, may have claimed rows since: what was reached until then counts.
    with problem.counting() as asked, suppress(QueriesSpent):
        for restart in range(RESTARTS if limit is None else MOST_RESTARTS):
            shift = 2 * torch.rand(origin.shape, generator=rng, dtype=torch.float64) - 1
            begin = origin + RADIUS * shift.to(origin) * bool(restart)
            left = starts * steps if limit is None else limit - asked()
            if left < 1:
                break
            if left < starts:  # the others stay where the answer is known
                begin[left:] = origin[left:]
            climb(aim, origin, begin, rng, max(1, min(steps, left // starts)))
    if aim.best.isneginf().all():  # no gap is known: not even one at a row that was answered before
        return unattacked(problem, gaps)
    best = int(aim.best.argmax())
    return Found(aim.where[best], origin[best], starts, asked(), aim.unanswered, "gradient" if gradients else "random")


def unattacked(problem: Problem, gaps: Tensor) -> Found:
    """The worst row of the report bank, with its gaps ``(N,)``, where no row may be asked."""
    row = problem.banks["report"].z[int(gaps.argmax())]
    return Found(row, row, 0, 0, 0, "none")


def _sizes(problem: Problem, limit: int | None) -> tuple[int, int]:
    """Prior rows to attack, and steps; 0 rows where the teacher may not be asked for enough."""
    rows = len(problem.banks["report"].z)
    if limit is None:
        return min(STARTS, rows, max(8, len(problem.pool) // (STEPS * RESTARTS))), STEPS
    if limit < 1:
        return 0, 0
    starts = min(STARTS, rows, max(1, limit // (LEAST_STEPS * RESTARTS)))
    return starts, min(STEPS, max(1, limit // (starts * RESTARTS)))


def hold(inputs: Inputs, z: Tensor, origin: Tensor, radius: float = RADIUS) -> Tensor:
    """Move points ``(n, D)`` into the box around their prior rows and into the declared ranges and levels."""
    held = inputs.project(_near(origin, z, radius))
    far = (held - origin).abs() > radius
    apart = [i for i, f in enumerate(inputs.features) if f.levels is not None or f.integer]
    held[:, apart] = torch.where(far[:, apart], origin[:, apart], held[:, apart])
    held[:, inputs.nominal] = origin[:, inputs.nominal]  # unordered levels have no neighbors
    if inputs.simplex:  # convex: on the line to the prior row, shares still sum to 1
        part = list(inputs.simplex)
        move = held[:, part] - origin[:, part]
        held[:, part] = origin[:, part] + move * (radius / move.abs().amax(1, keepdim=True).clamp(min=radius))
    far = ((held - origin).abs() > radius * (1 + 1e-4)).any(1, keepdim=True)
    return torch.where(far, origin, held)


class _Aim:
    """Computes gaps, and keeps the largest gap reached from each prior row."""

    def __init__(self, problem: Problem, student: Answer, unit: Tensor, origin: Tensor) -> None:
        self.problem, self.student, self.unit = problem, student, unit
        self.where, self.best = origin, origin.new_full((len(origin),), -torch.inf)
        self.unanswered = 0

    def gap(self, z: Tensor) -> Tensor:
        """Gaps ``(n,)`` at points ``(n, D)``, without gradients."""
        with torch.no_grad():
            return self._keep(z, ((self.student(z) - self.problem.answer(z)) / self.unit).abs().amax(1))

    def gradient(self, z: Tensor) -> Tensor:
        """Gradient ``(n, D)`` of the gap at points ``(n, D)``."""
        values, pull = self.problem.vjp(z)
        z = z.detach().requires_grad_()
        with torch.enable_grad():
            answers = self.student(z)
        difference = (answers.detach() - values) / self.unit
        size, at = difference.abs().max(1, keepdim=True)
        seed = torch.zeros_like(difference).scatter(1, at, difference.gather(1, at).sign()) / self.unit
        gradient = torch.autograd.grad(answers, z, seed)[0] - pull(seed)
        self._keep(z.detach(), size[:, 0])
        return gradient.nan_to_num(0.0, 0.0, 0.0)

    def _keep(self, z: Tensor, gap: Tensor) -> Tensor:
        finite = gap.isfinite()
        self.unanswered += int((~finite).sum())
        gap = torch.where(finite, gap, -1.0)
        better = gap > self.best
        self.where = torch.where(better[:, None], z, self.where)
        self.best = torch.where(better, gap, self.best)
        return gap


def _ascend(aim: _Aim, origin: Tensor, z: Tensor, rng: torch.Generator, steps: int) -> None:
    """Sign-gradient ascent (Madry et al. 2018) with shrinking steps. The moving point is not rounded, so that it can change levels."""
    for step in range(steps):
        gradient = aim.gradient(hold(aim.problem.inputs, z, origin))
        z = _near(origin, z + 0.2 * RADIUS * (1 - step / steps) * gradient.sign())


def _search(aim: _Aim, origin: Tensor, z: Tensor, rng: torch.Generator, steps: int) -> None:
    """Random search with shrinking steps in few or many features; a step is kept if the gap grows."""
    z = hold(aim.problem.inputs, z, origin)
    gap = aim.gap(z)
    for step in range(1, steps):
        noise = torch.randn(z.shape, generator=rng, dtype=torch.float64)
        moved = torch.rand(z.shape, generator=rng) < torch.rand(len(z), 1, generator=rng)
        tried = z + RADIUS * (1 - step / steps) * (noise * moved).to(z)
        tried = hold(aim.problem.inputs, tried, origin)
        reached = aim.gap(tried)
        z, gap = torch.where((reached > gap)[:, None], tried, z), torch.maximum(reached, gap)


def _near(origin: Tensor, z: Tensor, radius: float = RADIUS) -> Tensor:
    return origin + (z - origin).clamp(-radius, radius)


def _has_gradients(student: Answer, z: Tensor) -> bool:
    z = z.clone().requires_grad_()
    try:
        with torch.enable_grad():
            return bool(torch.autograd.grad(student(z).sum(), z)[0].isfinite().all())
    except RuntimeError:
        return False
