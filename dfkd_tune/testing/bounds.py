"""Conformance tests of gap bounds and input bounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import get_type_hints

import torch

from dfkd_tune.recipes.gap_bounds import GAP_BOUNDS
from dfkd_tune.recipes.input_bounds import INPUT_BOUNDS
from dfkd_tune.testing.laws import check_laws
from dfkd_tune.testing.problems import make_problem
from dfkd_tune.testing.strategies import LIKE, check_strategy
from dfkd_tune.utils.strategy import Stacked

GRID = torch.linspace(-3, 3, 241, dtype=torch.float64) + 1e-3
"""Gaps in standard deviations of the teacher, shifted so that none lies at the kink of a round threshold."""


def check_gap_bound(kind: str) -> None:
    """Check every law of a gap bound, given its name, including the laws of any strategy."""
    check_strategy("bound", kind)
    check_laws(GAP_LAWS, kind)


def check_input_bound(kind: str) -> None:
    """Check every law of an input bound, given its name, including the laws of any strategy."""
    check_strategy("input_bound", kind)
    check_laws(INPUT_LAWS, kind)


def the_gradient_is_the_derivative_of_the_reward(kind: str) -> None:
    """``gradient`` equals the derivative of ``reward`` by autograd, up to rounding."""
    gap, h = GRID.view(1, -1, 1).requires_grad_(), Stacked([GAP_BOUNDS[kind]()], LIKE)
    (expected,) = torch.autograd.grad(GAP_BOUNDS[kind].reward(h, gap).sum(), gap)
    torch.testing.assert_close(GAP_BOUNDS[kind].gradient(h, gap.detach()), expected, rtol=1e-12, atol=1e-12)


def the_sign_of_the_gap_does_not_matter(kind: str) -> None:
    """The reward is an even function of the gap, its derivative an odd one."""
    gap, h = GRID.view(1, -1, 1), Stacked([GAP_BOUNDS[kind]()], LIKE)
    assert torch.equal(GAP_BOUNDS[kind].reward(h, gap), GAP_BOUNDS[kind].reward(h, -gap))
    assert torch.equal(GAP_BOUNDS[kind].gradient(h, gap), -GAP_BOUNDS[kind].gradient(h, -gap))


def small_gaps_are_worth_enlarging(kind: str) -> None:
    """The reward grows with the gap below the default threshold."""
    gap = torch.linspace(0.01, 0.4, 20, dtype=torch.float64).view(1, -1, 1)
    assert (GAP_BOUNDS[kind].gradient(Stacked([GAP_BOUNDS[kind]()], LIKE), gap) > 0).all()


def active_is_a_truth_of_every_gap(kind: str) -> None:
    """``active`` returns booleans in the shape of the gaps."""
    gap, h = GRID.view(1, -1, 1), Stacked([GAP_BOUNDS[kind]()], LIKE)
    active = GAP_BOUNDS[kind].active(h, gap)
    assert active.dtype == torch.bool and active.shape == gap.shape


def active_is_where_gradient_is_cut(kind: str) -> None:
    """``active`` marks the gaps at which the bound cuts the gradient, whatever its floats are.

    The pull is the gradient per unit of gap, positive where a larger gap has a larger reward. The pull of an active gap is smaller than
    that of every other gap, and a gap without a positive pull is active. An unbounded reward has no active gap.
    """
    cls = GAP_BOUNDS[kind]
    one, hints = cls(), get_type_hints(cls)
    changed = {name: 0.9 * getattr(one, name) for name, hint in hints.items() if hint is float}
    h = Stacked([one, dataclasses.replace(one, **changed)], LIKE)  # pyright: ignore[reportArgumentType]  # strategies are dataclasses
    gap = GRID.view(1, -1, 1).expand(2, -1, 1)
    for pull, active in zip(cls.gradient(h, gap) / gap, cls.active(h, gap), strict=True):
        cut, free = pull[active], pull[~active]
        assert (free > 0).all(), f"{kind} is not active where it leaves no gradient"
        assert (cut < (1 - 1e-9) * pull.max()).all(), f"{kind} is active where it does not cut the gradient"
        assert (cut[:, None] < free[None]).all(), f"{kind} is active where it cuts less than elsewhere"


GAP_LAWS: tuple[Callable[[str], None], ...] = (
    the_gradient_is_the_derivative_of_the_reward,
    the_sign_of_the_gap_does_not_matter,
    small_gaps_are_worth_enlarging,
    active_is_a_truth_of_every_gap,
    active_is_where_gradient_is_cut,
)


def twice_is_once_and_the_origin_is_free(kind: str) -> None:
    """``contain`` does not move a row that is within the bound, such as a contained row or the origin."""
    problem = make_problem()
    h, origin = Stacked([INPUT_BOUNDS[kind]()], LIKE), problem.pool.z[None, :50].clamp(-0.8, 0.8)
    x = origin + 5 * problem.pool.z[None, 50:100]
    once = INPUT_BOUNDS[kind].contain(h, x, origin, problem.geometry)
    twice = INPUT_BOUNDS[kind].contain(h, once, origin, problem.geometry)
    torch.testing.assert_close(once, twice, rtol=1e-12, atol=1e-12)
    assert torch.equal(INPUT_BOUNDS[kind].contain(h, origin, origin, problem.geometry), origin)


def rows_are_bounded_one_by_one(kind: str) -> None:
    """What becomes of a row does not depend on the other rows."""
    problem = make_problem()
    h, origin = Stacked([INPUT_BOUNDS[kind]()], LIKE), problem.pool.z[None, :50]
    x = origin + 5 * problem.pool.z[None, 50:100]
    every = INPUT_BOUNDS[kind].contain(h, x, origin, problem.geometry)
    part = INPUT_BOUNDS[kind].contain(h, x[:, :7], origin[:, :7], problem.geometry)
    torch.testing.assert_close(part, every[:, :7], rtol=1e-12, atol=1e-12)


def active_is_a_truth_of_every_row(kind: str) -> None:
    """``active`` returns one boolean for each row."""
    problem = make_problem()
    h, origin = Stacked([INPUT_BOUNDS[kind]()], LIKE), problem.pool.z[None, :50]
    active = INPUT_BOUNDS[kind].active(h, origin, origin, problem.geometry)
    assert active.dtype == torch.bool and active.shape == origin.shape[:-1]


INPUT_LAWS: tuple[Callable[[str], None], ...] = (
    rows_are_bounded_one_by_one,
    twice_is_once_and_the_origin_is_free,
    active_is_a_truth_of_every_row,
)
