"""The distillation loop over K members at once; K = 1 for a single run.

Members that differ only in floats and widths form a ``Cohort``, which trains in one batched pass. Each member has its own
clock. Members can join and leave at any time without changing the results of the others.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import chain, groupby

from torch import Tensor

from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.training.answered.assistant import assistants_of, committee_lesson, dismiss
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
                each.assistants = assistants_of(each, self.problem)
                each.lesson = committee_lesson(self.problem, each)
                for one in (each, *each.assistants):
                    one.begin(self.problem)
        self._unstack()
        self._members[member.key], self._companions[member.key], member.companions = member, others, []

    def release(self, key: Hashable) -> Member:
        """Remove a member and return it with its own weights, and its companions."""
        self._unstack()
        member = self._members.pop(key)
        member.companions = self._companions.pop(key)
        return member

    def advance(self) -> list[Member]:
        """Train all members to the nearest rung; return the members evaluated there, with updated curves and failures.

        A member whose assistants train is returned for the first time at its own first rung, or if they fail.
        """
        if self._cohorts is None:
            everyone = [*self.members, *chain.from_iterable(self._companions.values())]
            assistants = list(chain.from_iterable(each.assistants for each in everyone))
            groups = _by_structure(each for each in everyone if not each.assistants) + _by_structure(assistants)
            self._cohorts = [Cohort(self.problem, group) for group in groups]
        ahead = {member.key: _steps_to_rung((member.assistants or [member])[0]) for member in self.members}
        count = min(ahead.values())
        due = [member for member in self.members if ahead[member.key] == count]
        for cohort in self._cohorts:
            cohort.run(count)
        beside = [other for member in due for other in self._companions[member.key]]
        there = [one for each in due + beside for one in (each.assistants or [each])]
        for cohort in self._cohorts:
            cohort.evaluate(there)
        learning = [member for member in due if member.assistants]
        for member in learning:
            self._graduate(member)
        return [member for member in due if member.failure or not any(member is each for each in learning)]

    def _graduate(self, member: Member) -> None:
        """Begin to train a member, and those of its other folds, once their assistants have done their steps."""
        if member.assistants[0].clock < member.assistants[0].steps:
            return
        self._unstack()
        for each in (member, *self._companions[member.key]):
            dismiss(self.problem, each)

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


def _steps_to_rung(member: Member) -> int:
    return member.next_rung - member.clock


def _by_structure(members: Iterable[Member]) -> list[list[Member]]:
    def key(member: Member) -> str:
        return repr((member.recipe.student.structure(), member.recipe.loss.gradients, member.recipe.batch))

    return [list(group) for _, group in groupby(sorted(members, key=key), key)]
