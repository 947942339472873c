"""A gain in words says the next tier, the estimate and what to run, or plainly that there is none."""

import pytest

from dfkd_tune.evaluation.knowledge.gain import NEXT, Gain
from dfkd_tune.tables.describe import TIERS


def test_an_estimate_names_tier_share_interval_and_command():
    words = Gain("correlation", 0.2, -0.1, 0.44, 10, 5_000).words()
    for needed in (NEXT["correlation"], "20 %", "0 to 44 %", "dfkd-tune describe DATA --tier correlation"):
        assert needed in words


@pytest.mark.parametrize("tier", NEXT)
def test_the_command_names_a_tier_of_describe(tier):
    assert tier in TIERS and f"--tier {tier} " in Gain(tier).command


def test_no_gain_and_no_estimate_are_told_apart():
    assert Gain(None).words().startswith("nothing to gain") and Gain(None).command is None
    refused = Gain("quantiles", why="its rows are counted").words()
    assert refused.startswith("not estimated, as its rows are counted") and "--tier quantiles" in refused
