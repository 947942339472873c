"""The stress bank: outlying rows, moved a little to where reference students of several methods have large gaps.

Real inputs have heavier tails than a normal prior. Most of a student's error on real data comes from the few rows with a feature
far out: on two of five real tables, one row in a hundred makes half of it. If the tails of a feature are not declared, the bank
therefore holds rows near the center with one such feature far out, skewed rows, or heavy-tailed rows, depending on the teacher
(``training.stress_rows``). If all tails are declared, it holds prior rows.

The bank is fixed before any trial, and the reference students belong to no trial. Rows moved against a trial's own student
would make the objective depend on that trial.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import Tensor

from dfkd_tune.evaluation.attack import hold
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.presets import PRESETS
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.teachers.output_cache import Answers
from dfkd_tune.teachers.probe import Probe
from dfkd_tune.training.banks import Bank
from dfkd_tune.training.distill import Outcome, distill_all
from dfkd_tune.training.member import Member
from dfkd_tune.training.problem import KNOWN, Problem
from dfkd_tune.training.stress_rows import stress_policy
from dfkd_tune.utils.seeding import derive, stream

RADIUS = 0.15
"""Largest move of a coordinate, in standard deviations of the feature."""
CENTER = 0.6
"""Factor that moves prior rows to the center before one of their features is moved out."""
OUT = (3.0, 10.0)
"""Range of the distance of that feature, in its standard deviations."""
MOVES = 8
"""Steps of sign ascent for each row, or random tries for a black box."""
REFERENCE_FRACTION = 0.1
"""Share of a trial's student steps for which a reference student is trained."""
PANEL = {True: ("random", "adversarial", "paper", "faithful"), False: ("random", "black_box")}
"""Presets of the reference students, for teachers with (True) and without (False) input gradients."""

Answer = Callable[[Tensor], Tensor]


def add_stress(
    problem: Problem,
    like: Recipe,
    progress: Callable[[Member], None] | None = None,
    answers: Answers | None = None,
    check_cancelled: Callable[[], None] = lambda: None,
) -> None:
    """Add the bank ``stress`` to a problem.

    Args:
        problem: a problem with its pool and banks.
        like: recipe from which reference students take architecture, steps and batch.
        progress: called at every rung of a reference student; may raise.
        answers: cache through which processes share the bank.
        check_cancelled: called while another process makes the bank; may raise.
    """
    before = problem.queries
    with answers.locked(check_cancelled) if answers is not None else nullcontext():
        kept = answers.load() if answers is not None else None
        if kept is not None:
            z, values = (kept[0][name].to(problem.device) for name in ("z", "values"))
            if problem.still_says(z[:KNOWN], values[:KNOWN]):
                problem.banks["stress"] = Bank(z, values, problem.spread)
                problem.frozen_rows += kept[1]
                return
        bank = stress_bank(problem, reference_students(problem, like, progress))
        rows = problem.queries - before
        if answers is not None:
            answers.save({"z": bank.z, "values": bank.values}, rows)
    problem.banks["stress"] = bank
    problem.frozen_rows += rows


def reference_students(
    problem: Problem, like: Recipe, progress: Callable[[Member], None] | None = None
) -> list[Outcome]:
    """Train one reference student with each method; those that diverge are left out. Arguments as in ``add_stress``."""
    steps = max(1, round(like.steps * REFERENCE_FRACTION))
    members = [
        Member(
            name,
            replace(PRESETS[name], student=like.student, steps=steps, batch=like.batch),
            derive(problem.seed, "panel", name),
        )
        for name in PANEL[problem.probe.differentiable]
    ]
    return [outcome for outcome in distill_all(problem, members, progress) if outcome.failure is None]


def stress_bank(problem: Problem, panel: Sequence[Outcome], radius: float = RADIUS, far: bool = True) -> Bank:
    """Make the bank: as many rows as the selection bank has, each moved against one reference student.

    Args:
        problem: the problem; its seed sets all random numbers.
        panel: reference students; if empty, no row is moved.
        radius: largest move of a coordinate, in standard deviations of the feature.
        far: whether the rows are outlying first where tails are not declared.
    """
    rng = stream(problem.seed, "stress")
    drawn = problem.inputs.draw(len(problem.banks["selection"].z), rng)
    prior = drawn.to(problem.device, problem.dtype)
    origin = outlying(problem.probe, problem.inputs, drawn, rng).to(prior) if far else prior
    move = _ascend if problem.probe.differentiable else _try
    parts = origin.tensor_split(len(panel)) if panel else []
    moved = [
        move(problem, _answer(problem, student), part, radius, rng) for student, part in zip(panel, parts, strict=True)
    ]
    z = torch.cat(moved) if moved else origin
    values = problem.answer_in_chunks(z)
    beyond = ~values.isfinite().all(1)
    if beyond.any():  # a teacher may overflow far out: keep the prior row there
        z = torch.where(beyond[:, None], prior, z)
        values[beyond] = problem.answer_in_chunks(z[beyond])
    return Bank(z, values, problem.spread)


def outlying(probe: Probe, inputs: Inputs, z: Tensor, rng: torch.Generator) -> Tensor:
    """Replace prior rows ``(N, D)`` by stress rows for a teacher, where tails are not declared."""
    rows = stress_policy(probe, inputs).rows
    return _spiked(inputs, z, rng) if rows is None else rows.turn(inputs, z, rng)


def _spiked(inputs: Inputs, z: Tensor, rng: torch.Generator) -> Tensor:
    """Prior rows whose features of unknown shape are moved to the center, except one, which is moved far out."""
    unknown = inputs.shapeless
    features = unknown.nonzero().flatten()
    if not len(features):
        return z
    near_center = torch.where(unknown, CENTER * z, z)
    feature = features[torch.randint(len(features), (len(z),), generator=rng)]
    near, far = OUT
    out = near + (far - near) * torch.rand(len(z), generator=rng, dtype=z.dtype)
    sign = 2 * torch.randint(2, (len(z),), generator=rng).to(z) - 1
    return inputs.project(near_center.scatter(1, feature[:, None], (sign * out)[:, None]))


def _answer(problem: Problem, outcome: Outcome) -> Answer:
    weights = [w.unsqueeze(0) for w in outcome.weights]
    return lambda z: outcome.recipe.student.answer(weights, problem.encoder.rows(z[None]), problem.columns)[0]


def _ascend(problem: Problem, student: Answer, origin: Tensor, radius: float, rng: torch.Generator) -> Tensor:
    """Sign ascent on the squared gap, from a random point near the origin because the gradient may vanish at the origin."""
    beside = (2 * torch.rand(origin.shape, generator=rng, dtype=torch.float64) - 1).to(origin) * radius / MOVES
    z = hold(problem.inputs, origin + beside, origin, radius)
    for _ in range(MOVES):
        values, pull = problem.vjp(z)
        z = z.detach().requires_grad_()
        with torch.enable_grad():
            answers = student(z)
            gap = (values - answers).detach()
            back = torch.autograd.grad(answers, z, gap)[0]
        gradient = (pull(gap) - back).nan_to_num(0.0)
        z = hold(problem.inputs, z.detach() + (2 * radius / MOVES) * gradient.sign(), origin, radius)
    return z


def _try(problem: Problem, student: Answer, origin: Tensor, radius: float, rng: torch.Generator) -> Tensor:
    """Move each row to the corner with the largest gap among a few random corners of its box."""
    best, most = origin, None
    for _ in range(MOVES):
        corner = (torch.rand(origin.shape, generator=rng, dtype=torch.float64) < 0.5).to(origin)
        z = hold(problem.inputs, origin + radius * (2 * corner - 1), origin, radius)
        with torch.no_grad():
            gap = (problem.answer_in_chunks(z) - student(z)).square().sum(-1)
        worse = gap > most if most is not None else torch.ones_like(gap, dtype=torch.bool)
        best = torch.where(worse.unsqueeze(-1), z, best)
        most = gap if most is None else torch.maximum(gap, most)
    return best
