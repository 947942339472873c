"""What the kind of a teacher decides: what a study is compared with, where unnamed leaves come from, what is searched.

A teacher with one hidden layer of smooth units has neurons to start from and slopes worth matching closely. The first layer of any
other says little of what it answers, and a student that starts from it goes astray far from the prior, where one that grew
from small weights stays tame; a second-order finish on a frozen bank learns a bank of sharp bends by heart, and fresh rows at a
falling step size do better. A black box has no slopes to match.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .generators.skewed import Skewed
from .inputs import Inputs
from .recipe import BLACK_BOX, FAITHFUL, PAPER, RANDOM, ROUGH, Recipe
from .space import DEFAULT
from .teachers import Probe

TAILS, TAILORED = ("heavy_tailed", "skewed"), ("generator.spread", "generator.shared")
"""Generators that draw prior rows where every feature's range or quantiles are declared, and the leaves that only they have."""


@dataclass(frozen=True)
class Kind:
    """What a kind of teacher gets where nobody says otherwise.

    Args:
        baseline: the untuned method that its studies are compared with.
        preset: where leaves that are not searched come from.
        search: leaf -> choices or range.
        stress: what draws the rows of the stress bank; None for rows near the center with one feature far out.
        weight: of that bank in the objective ``robust``.
    """

    baseline: Recipe
    preset: Recipe
    search: Mapping[str, Any]
    stress: Skewed | None = None
    weight: float = 0.25

    def searched(self, inputs: Inputs) -> dict[str, Any]:
        """The default space for what is declared: generators that differ by their tails only where a tail is open."""
        if inputs.open_ended.any():
            return dict(self.search)
        kept = [name for name in self.search["generator.kind"] if name not in TAILS]
        leaves = {leaf: domain for leaf, domain in self.search.items() if leaf not in TAILORED}
        return leaves | {"generator.kind": kept}


DEEP = {leaf: domain for leaf, domain in DEFAULT.items() if leaf != "start.surplus"} | {
    "generator.kind": ["gaussian", "direct", "heavy_tailed", "skewed"],
    "generator.spread": {"low": 0.3, "high": 1.3},
    "generator.shared": {"low": 0.0, "high": 0.8},
    "finish.kind": ["none", "lbfgs"],
    "loss.weight": {"low": 0.05, "high": 1.0, "log": True},
    "optimizer.lr": {"low": 1e-3, "high": 1e-2, "log": True},
}
"""Around a preset that trains on fresh rows to the end."""

ANSWERS = {
    "generator.kind": ["gaussian", "skewed", "heavy_tailed"],
    **{leaf: DEEP[leaf] for leaf in ("generator.spread", "alpha.value", "finish.kind", "finish.synthetic")},
    **{leaf: DEEP[leaf] for leaf in ("student.width", "optimizer.lr")},
}
"""The same for a black box. Rows that seek a gap cost it ten times the answers, and did no better on trees and a Gaussian process."""

KINDS = {
    "shallow": Kind(PAPER, FAITHFUL, DEFAULT),
    "deep": Kind(PAPER, ROUGH, DEEP, Skewed(spread=1.0, shared=0.6), 0.75),
    "black box": Kind(RANDOM, BLACK_BOX, ANSWERS),
}
"""``shallow``: one hidden layer of smooth units; ``deep``: any other teacher with input gradients.

The weights were fitted to students of recipes that are all good. Shallow, 440 students of five teachers: the mean rank correlation of
``robust`` with the real RMSE is .64 by this weight, .55 by .5, .64 by the prior and .35 by the stress bank alone. Deep, 77 students of a ReLU
network and one of three outputs, each on two tables: .65 by rows that follow a factor and are skewed, .07 by the prior alone, .31 by a feature far
out at that weight.
"""


def kind_of(found: Probe) -> Kind:
    """The kind of a teacher, from what its probe found."""
    if not found.differentiable:
        return KINDS["black box"]
    return KINDS["shallow" if found.shallow else "deep"]
