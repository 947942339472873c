"""Disagreement: it grows under the ascent, costs no query, and vanishes as the second clone learns the teacher's outputs."""

import pytest
import torch
from generator_contexts import FEATURES, LIKE, OUTPUTS, context, drawn, pulled, student, teacher

from dfkd_tune.generators.learned.disagreement import Disagreement
from dfkd_tune.generators.network import Network
from dfkd_tune.inputs.missing import present
from dfkd_tune.recipes.gap_bounds import Clip, Unbounded
from dfkd_tune.utils.strategy import Stacked


def made(**about):
    """Stacked hyper-parameters and state of two members with other clones."""
    item, rng = Disagreement(**about), torch.Generator().manual_seed(0)
    every = [item.init_state(FEATURES, OUTPUTS, rng, torch.float64) for _ in range(2)]
    return Stacked([item] * 2, LIKE), {name: torch.stack([one[name] for one in every]) for name in every[0]}


def apart(state, x):
    """Mean squared difference of the clones for each member."""
    return (Network.answer(state, x) - student(x)).square().mean((1, 2))


@pytest.mark.parametrize("ascent", ["rmsprop", "sign", "normalized"])
def test_disagreement_grows_with_every_step_and_costs_no_query(ascent):
    found = []
    for steps in (1, 3):
        (h, state), here = made(steps=steps, step_size=0.01, ascent=ascent), context(known=False)
        found.append(apart(state, Disagreement.sample(h, state, here)))
        assert here.queries == [0, 0]
    assert (found[0] > apart(state, here.origin)).all() and (found[1] > found[0]).all()


def test_it_is_the_ascent_of_direct_on_the_clone():
    h, state = made(steps=1, decay=0.0, gamma=0.5, step_size=1e-4, ascent="normalized")
    here = context()
    moved = Disagreement.sample(h, state, here) - here.origin

    def objective(x):
        return ((Network.answer(state, x) - student(x)).square() - 0.5 * student(x).square()).mean(-1)

    values, pull = pulled(objective, here.origin)
    torch.testing.assert_close(
        torch.cosine_similarity(moved, pull(torch.ones_like(values)), dim=-1),
        torch.ones_like(values),
        rtol=0,
        atol=1e-6,
    )


def test_the_gap_bound_bounds_the_disagreement():
    """Where the clones differ by more than the threshold, a clipped reward moves nothing."""
    h, state = made(decay=0.0, gamma=0.0)
    free, held = (Disagreement.sample(h, state, context([bound] * 2)) for bound in (Unbounded(), Clip(threshold=1e-9)))
    origin = context().origin
    assert torch.equal(held, origin) and not torch.equal(free, origin)


def test_the_second_clone_learns_from_what_it_observes():
    (h, state), here = made(lr=0.01), context()
    x = drawn(2, 64, FEATURES, seed=4)
    errors = []
    for _ in range(200):
        errors.append((Network.answer(state, x) - teacher(x)).square().mean((1, 2)))
        Disagreement.observe(h, state, here, x, teacher(x))
    assert (errors[-1] < 0.3 * errors[0]).all() and here.queries == [0, 0]


def test_missing_numbers_are_at_the_center_for_the_clone():
    x = drawn(2, 8, FEATURES, seed=4)
    x[:, ::2, 1] = torch.nan
    states = []
    for rows in (x, present(x, [1])):
        h, state = made()
        Disagreement.observe(h, state, context(gapped=[1]), rows, teacher(present(x, [1])))
        states.append(state)
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]) and value.isfinite().all()
