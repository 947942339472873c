"""What the kind of a teacher decides: what a study is compared with, where unnamed leaves come from, what is searched.

A teacher with one hidden layer of smooth units has neurons to start from and gradients worth matching closely. The first layer of any
other says little of what it answers, and a student that starts from it goes astray far from the prior, where one that grew
from small weights stays tame; a second-order finish on a frozen bank learns a bank of sharp bends by heart, and fresh rows at a
falling step size do better. A black box has no gradients to match.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.presets import BLACK_BOX, FAITHFUL, PAPER, RANDOM, ROUGH
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.search.space.search_space import DEFAULT, Space
from dfkd_tune.search.study_file import Budget


@dataclass(frozen=True)
class TeacherDefaults:
    """What a kind of teacher gets where nobody says otherwise.

    Args:
        baseline: the untuned method that its studies are compared with.
        preset: where leaves that are not searched come from.
        search: leaf -> choices or range.
    """

    baseline: Recipe
    preset: Recipe
    search: Mapping[str, Any]

    def searched(self, inputs: Inputs) -> dict[str, Any]:
        """The default space for what is known: a generator of rows with other tails or another shape only where these are open."""
        gone = set() if inputs.open_ended.any() else {"heavy_tailed", "generator.spread"}
        gone |= set() if inputs.shapeless.any() else {"skewed", "generator.shared"}
        kept = [name for name in self.search["generator.kind"] if name not in gone]
        return {leaf: domain for leaf, domain in self.search.items() if leaf not in gone} | {"generator.kind": kept}


DEEP = {leaf: domain for leaf, domain in DEFAULT.items() if leaf != "start.surplus"} | {
    "generator.kind": ["gaussian", "direct", "heavy_tailed", "skewed"],
    "generator.spread": {"low": 0.3, "high": 1.3},
    "generator.shared": {"low": 0.0, "high": 0.8},
    "finish.kind": ["none", "lbfgs"],
    "loss.weight": {"low": 0.05, "high": 1.0, "log": True},
    "optimizer.lr": {"low": 1e-3, "high": 1e-2, "log": True},
}
"""Around a preset that trains on fresh rows to the end; without ``adversarial``, some of whose students ended ten times as far off."""

ANSWERS = {
    "generator.kind": ["gaussian", "heavy_tailed", "skewed"],
    **{
        leaf: DEEP[leaf]
        for leaf in ("generator.spread", "generator.shared", "alpha.value", "student.width", "optimizer.lr")
    },
}
"""The same for a black box. Rows that seek a gap cost it ten times the answers, and did no better on trees and a Gaussian process. Without
gradients to hold it, a second-order finish follows every step of a tree by steeper units, nearer on every bank and further off on real rows.
"""

TEACHER_DEFAULTS = {
    "shallow": TeacherDefaults(PAPER, FAITHFUL, DEFAULT),
    "deep": TeacherDefaults(PAPER, ROUGH, DEEP),
    "black box": TeacherDefaults(RANDOM, BLACK_BOX, ANSWERS),
}
"""By ``Probe.kind``."""


def untuned(kind: str, budget: Budget, space: Space) -> Recipe:
    """The untuned method that trials are compared with, at their budget and the largest student that they may have.

    Args:
        kind: of the teacher, as ``Probe.kind`` has it.
        budget: of a trial.
        space: that the trials search.
    """
    recipe = replace(TEACHER_DEFAULTS[kind].baseline, steps=budget.steps, batch=budget.batch)
    return recipe if space.max_parameters is None else recipe.with_student(width=space.widest(recipe.student))
