"""Data impressions: one update of the network against the loss of the paper, by autograd."""

import pytest
import torch
from generator_contexts import FEATURES, LIKE, OUTPUTS, ROWS, context, teacher

from dfkd_tune.generators.impressions import Impressions
from dfkd_tune.generators.network import EPS, SMOOTHING, Network
from dfkd_tune.utils.strategy import Stacked

ITEM = Impressions(noise=4, hidden=5, lr=0.02, weight_decay=0.01, delta=0.3)
LAYERS = ("w1", "b1", "w2", "b2")


def begun(item=ITEM, members=2):
    rng = torch.Generator().manual_seed(0)
    every = [item.init_state(FEATURES, OUTPUTS, rng, torch.float64) for _ in range(members)]
    return {name: torch.stack([state[name] for state in every]) for name in every[0]}


def test_an_update_is_a_step_of_rmsprop_on_the_published_loss():
    state, made = begun(), context()
    leaves = [state[name].clone().requires_grad_() for name in LAYERS]
    z = context().noise(ROWS, OUTPUTS + ITEM.noise)  # from the same streams
    x = Network.answer(dict(zip(LAYERS, leaves, strict=True)), z)
    mean, variance = x.mean(1), x.var(1, unbiased=False)
    divergence = 0.5 * (mean.square() + variance - 1 - variance.log()).sum()
    fit = (teacher(x) - z[..., :OUTPUTS]).square().mean((1, 2)).sum()
    optimizer = torch.optim.RMSprop(leaves, lr=0.02, alpha=SMOOTHING, eps=EPS, weight_decay=0.01)
    (fit + ITEM.delta * divergence).backward()
    optimizer.step()
    Impressions.sample(Stacked([ITEM] * 2, LIKE), state, made)
    for name, leaf in zip(LAYERS, leaves, strict=True):
        torch.testing.assert_close(state[name], leaf.detach(), rtol=1e-9, atol=1e-11)


def test_the_network_learns_to_hit_its_targets():
    def missed(turns):
        item = Impressions(noise=4, hidden=20, lr=0.01, delta=0.0, turns=turns)
        state, made = begun(item), context()
        Impressions.sample(Stacked([item] * 2, LIKE), state, made)
        z = context().noise(200, OUTPUTS + item.noise)
        return float((teacher(Network.answer(state, z)) - z[..., :OUTPUTS]).square().mean())

    assert missed(300) < 0.5 * missed(1)


@pytest.mark.parametrize("clocks, counted", [([0, 3], [ROWS, 0]), ([10, 20], [ROWS, ROWS]), ([1, 2], [0, 0])])
def test_only_an_update_queries_the_teacher(clocks, counted):
    made = context(clocks=clocks)
    assert Impressions.sample(Stacked([ITEM] * 2, LIKE), begun(), made).shape == (2, ROWS, FEATURES)
    assert made.queries == counted
