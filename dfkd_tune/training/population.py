"""The distillation loop over K members at once; K = 1 for a single run.

Members that differ only in floats and widths form a ``Cohort``, which trains in one batched pass. Each member has its own
clock. Members can join and leave at any time without changing the results of the others.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import groupby

from torch import Tensor

from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.training.banks import Bank, Fidelity, measure
from dfkd_tune.training.cohort import Cohort
from dfkd_tune.training.member import Member
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils.allocator import keep_freed_memory


class Population:
    """The members in training on one problem."""

    def __init__(self, problem: Problem) -> None:
        keep_freed_memory()
        self.problem = problem
        self._members: dict[Hashable, Member] = {}
        self._cohorts: list[Cohort] | None = []

    def __len__(self) -> int:
        return len(self._members)

    @property
    def members(self) -> list[Member]:
        return list(self._members.values())

    def admit(self, member: Member) -> None:
        """Add a member, new or released before; results of the others do not change."""
        if not member.weights:
            member.begin(self.problem)
        self._unstack()
        self._members[member.key] = member

    def release(self, key: Hashable) -> Member:
        """Remove a member and return it with its own weights."""
        self._unstack()
        return self._members.pop(key)

    def advance(self) -> list[Member]:
        """Train all members to the nearest rung; return the members evaluated there, with updated curves and failures."""
        if self._cohorts is None:
            self._cohorts = [Cohort(self.problem, group) for group in _by_structure(self.members)]
        count = min(member.next_rung - member.clock for member in self.members)
        due = [member for member in self.members if member.next_rung - member.clock == count]
        for cohort in self._cohorts:
            cohort.run(count)
        for cohort in self._cohorts:
            cohort.evaluate(due)
        return due

    def fidelity(self, member: Member, bank: Bank) -> Fidelity:
        """Errors of one member's best weights on a bank."""
        return fidelity(self.problem, member.recipe, member.result(), bank)

    def _unstack(self) -> None:
        for cohort in self._cohorts or ():
            cohort.unstack()
        self._cohorts = None


def fidelity(problem: Problem, recipe: Recipe, weights: list[Tensor], bank: Bank) -> Fidelity:
    """Errors of one student on a bank."""
    stacked = [w.unsqueeze(0) for w in weights]
    return measure(lambda z: recipe.student.answer(stacked, problem.encoder.rows(z), problem.columns), bank, 1)[0]


def _by_structure(members: Iterable[Member]) -> list[list[Member]]:
    def key(member: Member) -> str:
        return repr((member.recipe.student.structure(), member.recipe.loss.gradients, member.recipe.batch))

    return [list(group) for _, group in groupby(sorted(members, key=key), key)]
