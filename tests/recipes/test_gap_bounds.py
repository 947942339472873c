"""The rewards of gap bounds: what their docstrings say, and thresholds in units of a student's error."""

import dataclasses
import math
import re

import pytest
import torch

from dfkd_tune.recipes.gap_bounds import GAP_BOUNDS, Clip
from dfkd_tune.testing.bounds import GRID
from dfkd_tune.testing.strategies import LIKE
from dfkd_tune.utils.strategy import Stacked


@pytest.mark.parametrize("kind", GAP_BOUNDS)
def test_reward_is_what_the_docstring_says(kind):
    goal, formula = re.search(r"(maximize|minimize) ``([^`]+)``", GAP_BOUNDS[kind].__doc__).groups()
    formula = re.sub(r"(?<=[\w)]) (?=[a-z])", " * ", formula.replace("|gap|", "abs(gap)")).replace("^", "**")
    known = {"min": min, "max": max, "abs": abs, "log": math.log, "tanh": math.tanh}
    own = {field.name: getattr(GAP_BOUNDS[kind](), field.name) for field in dataclasses.fields(GAP_BOUNDS[kind])}
    expected = [eval(formula, known | own, {"gap": gap}) for gap in GRID.tolist()]
    reward = GAP_BOUNDS[kind].reward(Stacked([GAP_BOUNDS[kind]()], LIKE), GRID.view(1, -1, 1)).flatten()
    assert reward.tolist() == pytest.approx([x if goal == "maximize" else -x for x in expected], abs=1e-12)


ADAPTIVE = [kind for kind, cls in GAP_BOUNDS.items() if "adaptive" in {field.name for field in dataclasses.fields(cls)}]


@pytest.mark.parametrize("kind", ADAPTIVE)
def test_an_adaptive_threshold_is_in_units_of_each_members_error(kind):
    cls, rmse = GAP_BOUNDS[kind], torch.tensor([0.1, 2.0], dtype=torch.float64).view(2, 1, 1)
    relative = cls.adapted(Stacked([cls(threshold=0.4, adaptive=True)] * 2, LIKE), rmse)
    plain = Stacked([cls(threshold=0.04), cls(threshold=0.8)], LIKE)
    gap = GRID.view(1, -1, 1).expand(2, -1, 1)
    torch.testing.assert_close(cls.gradient(relative, gap), cls.gradient(plain, gap), rtol=1e-12, atol=1e-12)
    assert torch.equal(cls.active(relative, gap), cls.active(plain, gap))


def test_other_thresholds_stay_as_they_are():
    rmse = torch.full((1, 1, 1), 0.1, dtype=torch.float64)
    for item, error in ((Clip(threshold=0.4), rmse), (Clip(threshold=0.4, adaptive=True), None)):
        assert Clip.adapted(Stacked([item], LIKE), error).threshold.item() == 0.4
