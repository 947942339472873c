"""Direct optimization: rows climb the objective of their member, at the price of a query for each step but the first."""

import pytest
import torch
from generator_contexts import LIKE, ROWS, context, student, teacher

from dfkd_tune.generators.ascending.direct import Direct
from dfkd_tune.utils.strategy import Stacked


@pytest.mark.parametrize("ascent", ["rmsprop", "sign", "normalized"])
def test_the_gap_of_every_member_grows(ascent):
    made = context()
    h = Stacked([Direct(steps=5, step_size=0.005, ascent=ascent)] * 2, LIKE)
    x = Direct.sample(h, {}, made)
    before, after = ((teacher(rows) - student(rows)).square().mean((1, 2)) for rows in (made.origin, x))
    assert (after > 1.1 * before).all()


def test_decay_and_gamma_pull_to_small_inputs_and_outputs():
    def norms(**about):
        made = context()
        x = Direct.sample(Stacked([Direct(steps=20, step_size=0.01, **about)] * 2, LIKE), {}, made)
        return float(x.square().mean()), float(student(x).square().mean())

    plain = norms()
    assert norms(decay=50.0)[0] < plain[0] and norms(gamma=50.0)[1] < plain[1]


@pytest.mark.parametrize("known, queries", [(True, 2 * ROWS), (False, 3 * ROWS)])
def test_known_gradients_save_the_first_query(known, queries):
    made = context(known=known)
    Direct.sample(Stacked([Direct(steps=3)] * 2, LIKE), {}, made)
    assert made.queries == [queries, queries] and torch.equal(made.origin, context().origin)
