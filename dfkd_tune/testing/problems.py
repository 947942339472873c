"""Tiny problems in float64, and functions that train members on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints
from unittest.mock import patch

import torch
from torch import Tensor, nn

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.presets import PAPER
from dfkd_tune.recipes.recipe import Recipe, from_tree
from dfkd_tune.students.mlp import MLP
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.fused.forward import with_fused_forward
from dfkd_tune.teachers.probe import probe
from dfkd_tune.training.member import BLOCK, Member
from dfkd_tune.training.population import Population
from dfkd_tune.training.problem import Problem

FEATURES = 4
KNOWN = Inputs(
    [
        Feature(name="plain"),
        Feature(name="ranged", range=[-1.0, 2.0]),
        Feature(name="leveled", levels=[0.0, 1.0, 5.0]),
        Feature(name="scaled", mean=10.0, std=3.0),
    ]
)


def rng(seed: int = 0) -> torch.Generator:
    """A new random stream."""
    return torch.Generator().manual_seed(seed)


def raw(inputs: Inputs, z: Tensor) -> Tensor:
    """Standardized rows ``(N, D)`` in raw units, float64."""
    return z.double() * inputs.scale + inputs.center


def variants(kind: type) -> Iterator[Any]:
    """The default of a strategy, and one variant for every other value of its boolean and ``Literal`` fields."""
    for name, hint in {"": None, **get_type_hints(kind)}.items():
        choices = get_args(hint) if get_origin(hint) is Literal else (False, True) if hint is bool else ()
        for choice in choices:
            if choice != getattr(kind(), name):
                yield dataclasses.replace(kind(), **{name: choice})
    yield kind()


class Counting:
    """A teacher that counts queried rows."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function, self.rows = function, 0

    def __call__(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        return self.function(x)


def network(outputs: int = 1, features: int = FEATURES, hidden: int = 8) -> nn.Sequential:
    """A smooth nonlinear teacher whose outputs have different scales."""
    module = nn.Sequential(nn.Linear(features, hidden), nn.Tanh(), nn.Linear(hidden, outputs)).double()
    rng = torch.Generator().manual_seed(features + outputs)
    for parameter in module.parameters():
        parameter.requires_grad_(False).copy_(torch.randn(parameter.shape, generator=rng, dtype=torch.float64))
    last = module[-1]
    assert isinstance(last, nn.Linear)
    last.weight *= torch.logspace(0, 1, outputs).double()[:, None]
    return module


def make_problem(
    function: Callable[[Tensor], Tensor] | None = None,
    outputs: int = 1,
    inputs: Inputs | None = None,
    quick: bool = False,
    device: str = "cpu",
) -> Problem:
    """A problem with 512 pool rows and banks of 200 rows; the teacher is called as a module or as its layer chain."""
    inputs = inputs or Inputs.unknown(FEATURES)
    teacher = Teacher("tiny", function or network(outputs, len(inputs)), torch.float64, "sha")
    if quick:
        teacher = with_fused_forward(teacher)
        assert teacher.fast is not None
    return Problem(
        teacher, inputs, probe(teacher, inputs), pool_rows=512, bank_rows=200, dtype=torch.float64, device=device
    )


def recipe(base: Recipe = PAPER, **sections: Any) -> Recipe:
    """A short recipe. A section is a strategy, a mapping as in a recipe file, or just the name of a kind."""
    made = {name: item for name, item in sections.items() if dataclasses.is_dataclass(item)}
    tree = {k: {"kind": v} if isinstance(v, str) else v for k, v in sections.items() if k not in made}
    return dataclasses.replace(from_tree({"steps": 30, "batch": 12} | tree, base=base), **made)


def run(problem: Problem, *members: Member) -> list[Member]:
    """Train all members to their end in one population."""
    population = Population(problem)
    for member in members:
        population.admit(member)
    finish(population)
    return list(members)


def finish(population: Population) -> None:
    """Advance the population until no member is left."""
    while len(population):
        for member in population.advance():
            if member.finished:
                population.release(member.key)


def draws(problem: Problem, member: Member) -> Iterator[Tensor]:
    """The pool indices ``(batch,)`` of every step of a new member that draws no other random numbers."""
    rng = torch.Generator().set_state(member.rng.get_state())
    while True:
        yield from torch.randint(len(problem.pool), (BLOCK, member.recipe.batch), generator=rng)


def batches(problem: Problem, member: Member) -> list[tuple[Tensor, Tensor]]:
    """Train a member alone; returns every batch ``(batch, D)`` and the gaps ``(batch, O)`` on it before the step."""
    seen, record = [], MLP.forward_with_tape

    def spy(student: MLP, weights: Sequence[Tensor], x: Tensor, columns: Columns) -> tuple[Tensor, Any]:
        answers, tape = record(student, weights, x, columns)
        if x.shape[1] == member.recipe.batch:
            seen.append((x[0].clone(), problem.answer(x[0]) - answers[0]))
        return answers, tape

    with patch.object(MLP, "forward_with_tape", spy):
        run(problem, member)
    return seen
