"""Read the recipe of a recorded trial."""

from __future__ import annotations

import json

from optuna.trial import FrozenTrial

from dfkd_tune.recipes.recipe import Recipe, from_tree
from dfkd_tune.search.attributes import RECIPE


def recipe_of(trial: FrozenTrial) -> Recipe:
    """The recipe of a finished trial."""
    return from_tree(json.loads(trial.user_attrs[RECIPE]), f"trial {trial.number}")
