"""A trial's recipe is the one that it was recorded with; one that this release cannot read names the trial."""

import json

import pytest
from asked import fails
from made_trials import trial

from dfkd_tune.errors import SpecError
from dfkd_tune.recipes.presets import PAPER, PRESETS
from dfkd_tune.search.recorded_recipes import recipe_of


@pytest.mark.parametrize("recipe", PRESETS.values(), ids=PRESETS)
def test_a_recipe_comes_back(recipe):
    assert recipe_of(trial(0.5, recipe=json.dumps(recipe.tree()))) == recipe


def test_a_recipe_of_another_release_is_told_by_its_trial():
    told = trial(0.5, recipe=json.dumps(PAPER.tree() | {"generator": {"kind": "dreaming"}}))
    told.number = 7
    with fails("trial 7.generator", "unknown kind 'dreaming'", kind=SpecError):
        recipe_of(told)
