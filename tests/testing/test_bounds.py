"""A gap bound whose ``active`` disagrees with its gradient fails."""

import pytest
import torch

from dfkd_tune.recipes.gap_bounds import GAP_BOUNDS, Clip, Hinge, Log, Unbounded
from dfkd_tune.testing.bounds import active_is_where_gradient_is_cut, check_gap_bound
from dfkd_tune.utils.strategy import strategy


@strategy
class NeverActive(Clip):
    @staticmethod
    def active(h, gap):
        return torch.zeros_like(gap, dtype=torch.bool)


@strategy
class AlwaysActive(Unbounded):
    @staticmethod
    def active(h, gap):
        return torch.ones_like(gap, dtype=torch.bool)


@strategy
class ActiveBelow(Log):
    @staticmethod
    def active(h, gap):
        return gap.abs() < h.threshold


@strategy
class ActiveTooSoon(Clip):
    @staticmethod
    def active(h, gap):
        return gap.abs() >= 0.5 * h.threshold


@strategy
class ActiveTooLate(Hinge):
    @staticmethod
    def active(h, gap):
        return gap.abs() >= 2 * h.threshold


@strategy
class OneThreshold(Clip):
    """Right for the default threshold alone."""

    @staticmethod
    def active(h, gap):
        return gap.abs() >= 0.5


@pytest.mark.parametrize(
    "wrong, told",
    [
        (NeverActive, "leaves no gradient"),
        (AlwaysActive, "does not cut"),
        (ActiveBelow, "does not cut"),
        (ActiveTooSoon, "does not cut"),
        (ActiveTooLate, "leaves no gradient"),
        (OneThreshold, "leaves no gradient"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_active_must_agree_with_the_gradient(register, wrong, told):
    with register(GAP_BOUNDS, wrong), pytest.raises(AssertionError, match=told):
        active_is_where_gradient_is_cut("wrong")
    with register(GAP_BOUNDS, wrong), pytest.raises(AssertionError, match=told):
        check_gap_bound("wrong")
