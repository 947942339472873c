"""What a study with a total number of queries may fix and search: its trials share their rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dfkd_tune.errors import SpecError
from dfkd_tune.generators.base import BlockGenerator
from dfkd_tune.generators.kinds import GENERATORS
from dfkd_tune.generators.rounds.base import RoundGenerator
from dfkd_tune.recipes.losses import LOSSES
from dfkd_tune.recipes.mixing import Constant
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.utils.quoting import named
from dfkd_tune.utils.strategy import name_of

SHARED = ("alpha", "bound", "input_bound")
"""Sections about rows of single trials."""


def require_shared_rows(recipe: Recipe, fixed: Mapping[str, Any], search: Mapping[str, Any] | None, file: str) -> None:
    """Refuse choices that would let a trial ask for rows of its own.

    Args:
        recipe: the preset of a study with a total, with what its study file fixes.
        fixed, search: leaves that the study file fixes and searches.
        file: name of the study file.

    Raises:
        SpecError: for the first such choice; the message names the leaf, and what can be taken.
    """
    why = "with budget.total_queries all trials train on the same rows"
    for leaf in search or ():
        section, _, field = leaf.partition(".")
        if section in ("generator", *SHARED):
            remedy = "leave it out" if section in SHARED else "fix it"
            remedy = f"fix generator.kind: {_usable()}" if (section, field) == ("generator", "kind") else remedy
            raise SpecError(f"{file}: search.{named(leaf)}", f"cannot be searched: {why}", remedy=remedy)
    for leaf in fixed:
        if leaf.partition(".")[0] in SHARED:
            raise SpecError(f"{file}: {named(leaf)}", f"has no meaning: {why}", remedy="leave it out")
    generator, alpha = recipe.generator, recipe.alpha
    if not isinstance(generator, BlockGenerator):
        rule = f"{name_of(GENERATORS, generator)} asks for rows of each trial, and {why}"
        if "generator.kind" in fixed:
            raise SpecError(f"{file}: generator.kind", rule, remedy=f"take {_usable()}")
        raise SpecError(f"{file}: preset", rule, remedy="take preset: few_queries, or leave preset out")
    if not (isinstance(alpha, Constant) and alpha.value == 0):
        raise SpecError(
            f"{file}: preset",
            f"mixes rows of its own in, and {why}",
            remedy="take preset: few_queries, or leave preset out",
        )
    searched = (search or {}).get("loss.kind")
    losses = [name_of(LOSSES, recipe.loss)] if searched is None else [*searched]
    if any(LOSSES[kind].gradients for kind in losses):
        rule = "sobolev asks for gradients, which cost rows, and the total is for outputs alone"
        place = "loss.kind" if searched is None else "search.loss.kind"
        raise SpecError(f"{file}: {place}", rule, remedy="use loss.kind mse")


def _usable() -> str:
    """The generators whose rows all trials can share, in words; those that choose rows in rounds come first."""
    kinds = {name: kind for name, kind in GENERATORS.usable() if issubclass(kind, BlockGenerator)}
    names = sorted(kinds, key=lambda name: not issubclass(kinds[name], RoundGenerator))
    return f"{', '.join(names[:-1])} or {names[-1]}"
