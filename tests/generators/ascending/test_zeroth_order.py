"""Gradients along random directions: right on average, and as dear as they say."""

import pytest
import torch
from generator_contexts import LIKE, ROWS, context, linear

from dfkd_tune.generators.ascending.ascent import ascend
from dfkd_tune.generators.ascending.direct import Direct
from dfkd_tune.generators.ascending.zeroth_order import ZerothOrder
from dfkd_tune.utils.strategy import Stacked

FEW = {"steps": 1, "step_size": 0.01, "decay": 0.0, "ascent": "normalized"}


def test_many_directions_are_the_gradient_of_a_linear_teacher():
    exact, made = (context(function=linear) for _ in range(2))
    found = ZerothOrder.sample(Stacked([ZerothOrder(directions=3000, **FEW)] * 2, LIKE), {}, made) - made.origin
    h = Stacked([Direct(**FEW)] * 2, LIKE)
    expected = ascend(h, exact, lambda x: exact.objective_gradient(x, h.gamma)) - exact.origin
    assert float(torch.cosine_similarity(found, expected, dim=-1).min()) > 0.98


def test_the_length_of_a_difference_does_not_matter_to_a_linear_teacher():
    rows = [
        ZerothOrder.sample(Stacked([ZerothOrder(delta=delta)] * 2, LIKE), {}, context(function=linear))
        for delta in (1e-3, 0.5)
    ]
    torch.testing.assert_close(rows[0], rows[1], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("directions, steps", [(1, 1), (4, 3)])
def test_each_step_costs_its_directions_and_the_row_but_at_the_origin(directions, steps):
    made = context(known=False)
    ZerothOrder.sample(Stacked([ZerothOrder(directions=directions, steps=steps)] * 2, LIKE), {}, made)
    assert made.queries == [ROWS * (steps * (directions + 1) - 1)] * 2


def test_a_direction_that_a_projection_holds_back_counts_as_far_as_it_went():
    """At the edge of a range, where a difference of the full length would halve the gradient."""

    def clamp(x):
        return x.clamp(max=context().origin.amax())

    held = ZerothOrder.sample(
        Stacked([ZerothOrder(directions=500, **FEW)] * 2, LIKE), {}, context(function=linear, project=clamp)
    )
    free = ZerothOrder.sample(Stacked([ZerothOrder(directions=500, **FEW)] * 2, LIKE), {}, context(function=linear))
    inside = (free < context().origin.amax() - 0.1).all(-1)
    torch.testing.assert_close(held[inside], free[inside], rtol=0.05, atol=0.01)
