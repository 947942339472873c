"""Worlds agree with what is declared, and one tier more is declared of them."""

import pytest
import torch

from dfkd_tune.evaluation.knowledge.worlds import WIDEST, next_tier, unforeseen, world
from dfkd_tune.inputs.dependence.rank_correlation import RankCorrelation
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.inputs.prior import InferredPrior, Inputs

QUANTILES = {0.05: -1.0, 0.5: 0.0, 0.95: 4.0}
SHAPED = [Feature(name=name, quantiles=QUANTILES) for name in "abc"]
RANKS = ((1.0,), (0.6, 1.0), (-0.3, 0.1, 1.0))
KNOWN = Inputs(SHAPED, dependence=RankCorrelation(RANKS))


def test_tiers_follow_each_other():
    inputs, tiers = Inputs.unknown(3), []
    while (tier := next_tier(inputs)) is not None:
        tiers.append(tier)
        inputs = world(inputs, 0, 1).told
        if tier == "correlation":  # as a file declares it
            inputs = inputs.replaced(dependence=RankCorrelation(RANKS))
    assert tiers == ["quantiles", "correlation", "mixture"]
    assert next_tier(Inputs([Feature(name="a", mean=1.0, std=2.0), *SHAPED])) == "quantiles"
    assert next_tier(Inputs(SHAPED[:1])) is None  # one feature goes together with none


@pytest.mark.parametrize("inputs", [Inputs.unknown(3), Inputs(SHAPED), KNOWN], ids=["T0", "T3", "T4"])
def test_a_world_keeps_what_is_declared_and_follows_from_its_seed(inputs):
    first, again, other = world(inputs, 3, 1), world(inputs, 3, 1), world(inputs, 3, 2)
    rows = [each.real.draw(50, torch.Generator().manual_seed(0)) for each in (first, again, other)]
    assert torch.equal(rows[0], rows[1]) and not torch.equal(rows[0], rows[2])
    for made in (first, other):
        assert made.told.features == made.real.features
        assert inputs is not KNOWN or made.real.features == KNOWN.features
    if inputs.tier == "T3":
        assert first.real.features == inputs.features and first.told.tier == "T4"
    assert first.told.draw(4, torch.Generator().manual_seed(0)).shape == (4, 3)


def test_worlds_have_declared_rank_correlations_on_average():
    found = []
    for number in range(8):
        z = world(KNOWN, 0, number).real.draw(2_000, torch.Generator().manual_seed(number))
        found.append(torch.corrcoef(z.argsort(0).argsort(0).double().T))
    mean = torch.stack(found).mean(0)
    for i, row in enumerate(RANKS):
        for j, told in enumerate(row[:i]):
            assert float(mean[i, j]) == pytest.approx(told, abs=0.2)


def test_what_is_not_foreseen_is_told():
    window = parse_features({"window": {"steps": 3, "channels": ["load"]}}, "features.yaml")
    assert "windows" in unforeseen(window)
    assert "shares" in unforeseen(Inputs(SHAPED, simplex=[0, 1]))
    assert "teacher" in unforeseen(Inputs(SHAPED, inferred=InferredPrior("told", Inputs.unknown(3))))
    assert "features" in unforeseen(Inputs.unknown(WIDEST + 1))
    assert unforeseen(Inputs.unknown(WIDEST)) is None
