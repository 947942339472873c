"""Recipes in words."""

import json

from made_trials import of

from dfkd_tune.recipes.presets import ADVERSARIAL, PAPER
from dfkd_tune.reporting.summary_text import recipe_line, recipe_lines


def test_what_all_recipes_share_is_said_once():
    trials = of(direct=[1.0, 2.0], gaussian=[3.0])
    for made, preset in zip(trials, (PAPER, PAPER, ADVERSARIAL), strict=True):
        made.user_attrs["recipe"] = json.dumps(preset.tree())
    lines, alike = recipe_lines(trials)
    assert len(lines) == 3 and alike
    for line, each in zip(lines, trials, strict=True):
        assert set(recipe_line(each).split(", ")) == {*filter(None, line.split(", ")), *alike.split(", ")}
    assert lines[0] == lines[1] != lines[2]
    assert recipe_lines(trials[:1])[1] == ""
