"""What a study with a total number of queries may fix and search: its trials share their rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dfkd_tune.errors import SpecError
from dfkd_tune.generators.base import BlockGenerator
from dfkd_tune.recipes.losses import LOSSES
from dfkd_tune.recipes.mixing import Constant
from dfkd_tune.search.space.space import Space
from dfkd_tune.utils.quoting import named

SHARED = ("alpha", "bound", "input_bound")
"""Sections about rows of single trials."""


def require_shared_rows(space: Space, fixed: Mapping[str, Any], search: Iterable[str], file: str) -> None:
    """Refuse choices that would let a trial ask for rows of its own.

    Args:
        space: the search space of a study with a total.
        fixed, search: leaves that its study file fixes and searches.
        file: name of the study file.

    Raises:
        SpecError: for the first such choice; the message names the leaf.
    """
    why = "with budget.total_queries all trials train on the same rows"
    for leaf in search:
        if leaf.partition(".")[0] in ("generator", *SHARED):
            rule = f"cannot be searched: {why}"
            remedy = "fix it" if leaf.startswith("generator.") else "leave it out"
            raise SpecError(f"{file}: search.{named(leaf)}", rule, remedy=remedy)
    for leaf in fixed:
        if leaf.partition(".")[0] in SHARED:
            raise SpecError(f"{file}: {named(leaf)}", f"has no meaning: {why}", remedy="leave it out")
    generator, alpha = space.preset.generator, space.preset.alpha
    if not isinstance(generator, BlockGenerator):
        rule = f"{type(generator).__name__} asks for rows of each trial, and {why}"
        raise SpecError(
            f"{file}: generator.kind", rule, remedy="take committee, coverage, sobol, gaussian or latin_hypercube"
        )
    if not (isinstance(alpha, Constant) and alpha.value == 0):
        raise SpecError(
            f"{file}: preset", f"mixes rows of its own in, and {why}", remedy="take preset: few_queries, or none"
        )
    kinds = space.kinds("loss")
    if any(LOSSES[kind].gradients for kind in kinds):
        rule = "sobolev asks for gradients, which cost rows, and the total is for outputs alone"
        raise SpecError(f"{file}: loss.kind", rule, remedy="use loss.kind mse")
