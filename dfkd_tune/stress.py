"""The stress bank: heavy-tailed rows moved a little, to where reference students of several methods answer worst.

Real inputs have heavier tails than a normal prior: coordinates whose tails nobody declared are stretched to a Student t. A
student that does well on prior rows by luck tends to fail where others do; the bank is frozen
before any trial, against a panel that no trial belongs to: an adversary of a trial's own making would reward weak ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from .distillation import Outcome, distill_all
from .member import Member
from .probes import Bank
from .problem import Problem
from .recipe import PRESETS, Recipe
from .seeds import derive, stream

RADIUS = 0.15
"""How far a coordinate may travel, in standard deviations of the feature."""
FREEDOM = 4
"""Degrees of freedom of the Student t that stands for tails of which nothing is declared."""
MOVES = 8
"""Steps of sign ascent, or tries of a black box, a row."""
SHARE = 0.1
"""Of a trial's student steps that a reference student gets."""
PANEL = {True: ("random", "adversarial", "paper", "faithful"), False: ("random", "black_box")}
"""Presets of the reference students, by whether the teacher has input gradients."""


def add_stress(problem: Problem, like: Recipe) -> None:
    """Freeze the bank ``stress`` of a problem.

    Args:
        problem: with its pool and banks.
        like: the student, steps and batch that reference students are measured by.
    """
    steps = max(1, round(like.steps * SHARE))
    members = [
        Member(
            name,
            replace(PRESETS[name], student=like.student, steps=steps, batch=like.batch),
            derive(problem.seed, "panel", name),
        )
        for name in PANEL[problem.probe.differentiable]
    ]
    panel = [outcome for outcome in distill_all(problem, members) if outcome.failure is None]
    rng = stream(problem.seed, "stress")
    rows = len(problem.banks["selection"].z)
    origin = _stretched(problem, rows, rng)
    parts = origin.tensor_split(len(panel)) if panel else [origin]
    move = _ascend if problem.probe.differentiable else _try
    z = torch.cat(
        [move(problem, _answer(student), part, rng) for student, part in zip(panel, parts, strict=True)]
        if panel
        else parts
    )
    problem.banks["stress"] = Bank(z, problem.answer_in_chunks(z), problem.spread)


def _stretched(problem: Problem, rows: int, rng: torch.Generator) -> Tensor:
    """Prior rows, the coordinates of unknown tails divided by ``sqrt(chi^2 / (FREEDOM - 2))``: as wide, but heavy-tailed."""
    inputs = problem.inputs
    z = inputs.draw(rows, rng)
    square = torch.randn(FREEDOM, *z.shape, generator=rng, dtype=z.dtype).square().sum(0)  # chi^2
    unknown = inputs.low.isinf() & inputs.high.isinf()
    stretched = torch.where(unknown, z * ((FREEDOM - 2) / square).sqrt(), z)
    return inputs.project(stretched).to(problem.device, problem.dtype)


def _answer(outcome: Outcome) -> Callable[[Tensor], Tensor]:
    weights = [w.unsqueeze(0) for w in outcome.weights]
    return lambda z: outcome.recipe.student.answer(weights, z.unsqueeze(0))[0]


def _contain(problem: Problem, z: Tensor, origin: Tensor) -> Tensor:
    return problem.inputs.project(torch.clamp(z, origin - RADIUS, origin + RADIUS))


def _ascend(problem: Problem, student: Callable[[Tensor], Tensor], origin: Tensor, rng: torch.Generator) -> Tensor:
    """Sign ascent on the squared gap from a random start beside the origin, where its gradient may vanish."""
    beside = (2 * torch.rand(origin.shape, generator=rng, dtype=torch.float64) - 1).to(origin) * RADIUS / MOVES
    z = _contain(problem, origin + beside, origin)
    for _ in range(MOVES):
        values, pull = problem.record(z)
        z = z.detach().requires_grad_()
        with torch.enable_grad():
            answers = student(z)
            gap = (values - answers).detach()
            back = torch.autograd.grad(answers, z, gap)[0]
        z = _contain(problem, z.detach() + (2 * RADIUS / MOVES) * (pull(gap) - back).sign(), origin)
    return z


def _try(problem: Problem, student: Callable[[Tensor], Tensor], origin: Tensor, rng: torch.Generator) -> Tensor:
    """The worst of a few random corners of the box around each row."""
    best, most = origin, None
    for _ in range(MOVES):
        corner = (torch.rand(origin.shape, generator=rng, dtype=torch.float64) < 0.5).to(origin)
        z = _contain(problem, origin + RADIUS * (2 * corner - 1), origin)
        with torch.no_grad():
            gap = (problem.answer_in_chunks(z) - student(z)).square().sum(-1)
        worse = gap > most if most is not None else torch.ones_like(gap, dtype=torch.bool)
        best = torch.where(worse.unsqueeze(-1), z, best)
        most = gap if most is None else torch.maximum(gap, most)
    return best
