"""Numbers that may be missing: how often, in which rows, and what a student takes in their place."""

import math

import pytest
import torch
from asked import fails

from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.layouts.signature import Argument, Signature

ROWS = 20_000


def parsed(*features, signature=None, **others):
    return parse_features({"features": list(features), **others}, "features.yaml", signature)


def drawn(inputs, rows=ROWS):
    return inputs.draw(rows, torch.Generator().manual_seed(0))


KINDS = {
    "normal": {"mean": 5.0, "std": 2.0},
    "range": {"range": [1.0, 3.0]},
    "whole": {"range": [0, 9], "integer": True},
    "quantiles": {"quantiles": {0.1: 1.0, 0.5: 2.0, 0.9: 5.5}},
    "nothing": {},
}


@pytest.mark.parametrize("about", KINDS.values(), ids=KINDS)
def test_values_are_missing_as_often_as_declared_and_the_others_stay_as_they_are(about):
    inputs, whole = parsed({"name": "a", "missing": 0.3, **about}, "b"), parsed({"name": "a", **about}, "b")
    x, y = (each.raw(drawn(each)) for each in (inputs, whole))
    absent = x[:, 0].isnan()
    assert float(absent.double().mean()) == pytest.approx(0.3, abs=0.015)
    assert not x[:, 1].isnan().any()
    levels = torch.linspace(0.05, 0.95, 10, dtype=torch.float64)
    there = x[~absent, 0].quantile(levels)
    torch.testing.assert_close(there, y[:, 0].quantile(levels), rtol=0.05, atol=0.06 * float(inputs.scale[0]))
    # A value is missing whatever the others are.
    assert abs(float(torch.corrcoef(torch.stack([absent.double(), x[:, 1]]))[0, 1])) < 0.03


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_missing_stays_missing_through_every_conversion(dtype):
    inputs = parsed(*({"name": name, "missing": 0.2, **about} for name, about in KINDS.items()), "plain")
    z = drawn(inputs, 500)
    x = inputs.raw(z, dtype)
    assert torch.equal(x.isnan(), z.isnan()) and torch.equal(inputs.project(z).isnan(), z.isnan())
    assert torch.equal(inputs.standardized(x).isnan(), z.isnan())
    assert torch.equal(inputs.finite(z).isnan(), z.isnan()) and inputs.present(z).isfinite().all()
    broken = torch.full_like(z, torch.inf)
    broken[:, -1] = torch.nan
    assert inputs.finite(broken).isfinite().all()


def test_uniform_points_are_missing_as_often():
    inputs = parsed({"name": "a", "range": [0, 1], "missing": 0.25})
    z = inputs.spread(torch.rand(ROWS, 1, generator=torch.Generator().manual_seed(0)), 3.0)
    assert float(z.isnan().double().mean()) == pytest.approx(0.25, abs=0.015)
    x = inputs.raw(z)[~z.isnan()]
    assert float(x.max()) > 0.99 and float(x.mean()) == pytest.approx(0.5, abs=0.02)


def test_a_missing_value_ranks_last_in_a_correlation():
    ranks = [[1], [0.7, 1]]
    inputs = parsed({"name": "a", "missing": 0.2}, "b", rank_correlation=ranks)
    x = inputs.raw(drawn(inputs))
    order = x.nan_to_num(math.inf).argsort(0).argsort(0).double()
    order[x[:, 0].isnan(), 0] = order[x[:, 0].isnan(), 0].mean()
    assert float(torch.corrcoef(order.T)[0, 1]) == pytest.approx(0.7, abs=0.02)


def test_a_declaration_has_another_fingerprint_with_it():
    plain, other = parsed("a"), parsed({"name": "a", "missing": 0.1})
    assert plain.fingerprint() != other.fingerprint() != parsed({"name": "a", "missing": 0.2}).fingerprint()
    assert other.tier == "T0" and other.optional == other.gapped == [0]


INT = Signature.positional([Argument("n", (2,), torch.int32)])


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"levels": [0, 1], "missing": 0.1}, ["missing is for numbers", "null as one of the levels"]),
        ({"missing": 0}, ["missing", "greater than 0"]),
        ({"missing": 1}, ["missing", "less than 1"]),
        ({"missing": "often"}, ["missing"]),
    ],
)
def test_shares_that_cannot_be_are_refused(about, words):
    with fails("features.yaml: features[0]", *words, kind=FeaturesError):
        parsed({"name": "a", **about})


def test_whole_numbers_and_shares_of_a_whole_cannot_be_missing():
    with fails("features.yaml", "n (N, 2) int32 cannot hold NaN", "stands for it", kind=FeaturesError):
        parsed({"name": "a", "range": [0, 9], "missing": 0.1}, {"name": "b", "range": [0, 9]}, signature=INT)
    with fails("features.yaml: simplex", "'a' is a share of a whole, which cannot be missing", kind=FeaturesError):
        parsed({"name": "a", "missing": 0.1}, "b", simplex=["a", "b"])
