"""The distillation loop over K members at once; K = 1 for a single run.

Members that differ only in floats and widths form a ``Cohort``, which trains in one batched pass. Each member has its own
clock. Members can join and leave at any time without changing the results of the others.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import chain, groupby

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
        self._companions: dict[Hashable, list[Member]] = {}
        self._cohorts: list[Cohort] | None = []

    def __len__(self) -> int:
        return len(self._members)

    @property
    def members(self) -> list[Member]:
        return list(self._members.values())

    def admit(self, member: Member) -> None:
        """Add a member, new or released before; results of the others do not change."""
        others = member.companions or [self._companion(member, k) for k in range(1, self.problem.trained_folds)]
        for each in (member, *others):
            if not each.weights:
                each.begin(self.problem)
        self._unstack()
        self._members[member.key], self._companions[member.key], member.companions = member, others, []

    def release(self, key: Hashable) -> Member:
        """Remove a member and return it with its own weights, and its companions."""
        self._unstack()
        member = self._members.pop(key)
        member.companions = self._companions.pop(key)
        return member

    def advance(self) -> list[Member]:
        """Train all members to the nearest rung; return the members evaluated there, with updated curves and failures."""
        if self._cohorts is None:
            everyone = [*self.members, *chain.from_iterable(self._companions.values())]
            self._cohorts = [Cohort(self.problem, group) for group in _by_structure(everyone)]
        count = min(member.next_rung - member.clock for member in self.members)
        due = [member for member in self.members if member.next_rung - member.clock == count]
        for cohort in self._cohorts:
            cohort.run(count)
        beside = [other for member in due for other in self._companions[member.key]]
        for cohort in self._cohorts:
            cohort.evaluate(due + beside)
        return due

    @staticmethod
    def _companion(member: Member, fold: int) -> Member:
        """The same student for another fold: it trains on other rows, and so tells what the recipe is worth on more of them."""
        return Member((member.key, fold), member.recipe, member.seed, member.rungs, fold=fold)

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
