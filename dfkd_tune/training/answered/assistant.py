"""A teacher's assistant labels further rows for a student (Mirzadeh et al. 2020): wider students, or a committee of finished ones.

The teacher is asked nothing more. Assistants train on no row that is held out of their student: they belong to its fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from dfkd_tune.generators.gaussian import Gaussian
from dfkd_tune.recipes.assistants import NoAssistant
from dfkd_tune.recipes.losses import MSE
from dfkd_tune.recipes.mixing import Constant
from dfkd_tune.recipes.refiners import NoRefiner
from dfkd_tune.students.base import Student
from dfkd_tune.training.banks import Pool
from dfkd_tune.training.member import Member
from dfkd_tune.training.problem import TEACHER_BATCH, Problem
from dfkd_tune.utils.seeding import derive, stream


def assistants_of(member: Member, problem: Problem) -> list[Member]:
    """New members that train before a member, on answered prior rows alone; none if its recipe has no assistant."""
    recipe = member.recipe
    plain = replace(
        recipe,
        generator=Gaussian(),
        alpha=Constant(0.0),
        loss=recipe.loss if problem.pool.gradients is not None else MSE(),  # else the teacher would be asked
        refiner=NoRefiner(),
        assistant=NoAssistant(),
        teacher_rows=None,
    )
    return [
        Member(
            (member.key, "assistant", k),
            replace(plain, student=student),
            derive(member.seed, "assistant", k),
            member.rungs,
            fold=member.fold,
        )
        for k, student in enumerate(recipe.assistant.students(recipe.student))
    ]


def committee_lesson(problem: Problem, member: Member) -> Pool | None:
    """New prior rows labeled by the committee of a member's recipe; None if it asks none, or nobody has finished."""
    most = member.recipe.assistant.committee
    asked = problem.committee(member.fold)[:most] if most else []
    return _labeled(problem, member, asked) if asked else None


def dismiss(problem: Problem, member: Member) -> None:
    """Let the trained assistants of a member label its further rows; a member whose assistant diverged fails."""
    failures = [each.failure for each in member.assistants if each.failure]
    if failures:
        member.failure = f"its assistant {failures[0]}"
    else:
        member.lesson = lesson(problem, member)
    member.assistants = []


def lesson(problem: Problem, member: Member) -> Pool:
    """New prior rows labeled by a member's own assistants."""
    return _labeled(problem, member, [(each.recipe.student, each.result()) for each in member.assistants])


def _labeled(problem: Problem, member: Member, students: Sequence[tuple[Student, Sequence[Tensor]]]) -> Pool:
    """New prior rows with the mean outputs of students, and their mean input gradients if the member's loss matches those."""
    recipe = member.recipe
    drawn = problem.inputs.draw(recipe.assistant.labeled_rows, stream(member.seed, "lesson"))
    z = drawn.to(problem.device, problem.dtype)
    found = [_labels(problem, *each, z, recipe.loss.gradients) for each in students]
    values = torch.stack([values for values, _ in found]).mean(0)
    gradients = [gradients for _, gradients in found if gradients is not None]
    return Pool(z, values, torch.stack(gradients).mean(0) if gradients else None)


def _labels(
    problem: Problem, student: Student, weights: Sequence[Tensor], z: Tensor, wanted: bool
) -> tuple[Tensor, Tensor | None]:
    """Outputs ``(N, O)`` of a student at rows ``(N, D)``, and its input gradients ``(N, O, D)`` if they are wanted."""
    weights, values, gradients = [w.unsqueeze(0).to(z.device) for w in weights], [], []
    for part in z.split(TEACHER_BATCH):
        rows = problem.encoder.rows(part[None])
        if wanted:
            answers, pulled = student.outputs_and_gradients(weights, rows, problem.columns)
            gradients.append(problem.encoder.back(pulled, part[None, :, None])[0].detach())
        else:
            answers = student.answer(weights, rows, problem.columns)
        values.append(answers[0].detach())
    return torch.cat(values), torch.cat(gradients) if wanted else None
