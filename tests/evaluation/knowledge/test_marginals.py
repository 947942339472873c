"""Plausible distributions are standardized, keep what is declared, and show atoms as atoms."""

import numpy as np
import pytest
import torch

from dfkd_tune.evaluation.knowledge.marginals import MAIN, known, plausible
from dfkd_tune.inputs.feature import Feature


@pytest.mark.parametrize("number", range(len(MAIN)))
def test_an_unknown_feature_becomes_a_standardized_one(number):
    found = plausible([Feature(name=f"x{i}") for i in range(6)], np.random.default_rng(number), number)
    assert [each.name for each in found] == [f"x{i}" for i in range(6)]
    for each in found:
        assert known(each)
        assert each.center == pytest.approx(0, abs=1e-9) and each.scale == pytest.approx(1)


def test_what_is_declared_holds():
    declared = [
        Feature(name="moments", mean=50.0, std=4.0),
        Feature(name="ranged", range=[2.0, 3.0]),
        Feature(name="leveled", levels=[0.0, 1.0, 7.0]),
        Feature(name="weighed", levels=[0.0, 1.0], probabilities=[0.2, 0.8]),
        Feature(name="shaped", quantiles={0.1: 0.0, 0.9: 5.0}),
        Feature(name="absent", missing=0.25),
    ]
    for number in range(10):
        moments, ranged, leveled, weighed, shaped, absent = plausible(declared, np.random.default_rng(number), number)
        assert all(map(known, (moments, ranged, leveled, weighed, shaped, absent)))
        assert moments.curve.moments == pytest.approx((50, 4), rel=1e-6)
        assert 2 <= ranged.support[0] < ranged.support[1] <= 3
        assert leveled.levels == [0.0, 1.0, 7.0] and sum(leveled.probabilities) == pytest.approx(1)
        assert (weighed, shaped) == tuple(declared[3:5])
        assert absent.missing == 0.25


def test_a_world_of_spikes_has_values_that_occur_often():
    assert MAIN[0].__name__ == "_spiked"
    u = torch.rand(4_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = plausible([Feature(name=f"x{i}") for i in range(20)], np.random.default_rng(0), 0)
    most = [int(torch.unique(each.curve.at(u), return_counts=True)[1].max()) / len(u) for each in found]
    assert sum(share > 0.25 for share in most) >= 8
