"""The adversarial network: when it is trained, and that its penalties bite."""

import pytest
import torch
from generator_contexts import FEATURES, LIKE, ROWS, context, student, teacher

from dfkd_tune.generators.adversarial import Adversarial
from dfkd_tune.generators.network import Network
from dfkd_tune.utils.strategy import Stacked

SMALL = {"noise": 4, "hidden": 8}


def trained(clocks=(0, 0), **about):
    item = Adversarial(**SMALL | about)
    rng, made = torch.Generator().manual_seed(0), context(clocks=clocks)
    every = [item.init_state(FEATURES, 2, rng, torch.float64) for _ in range(2)]
    state = {name: torch.stack([one[name] for one in every]) for name in every[0]}
    rows = Adversarial.sample(Stacked([item] * 2, LIKE), state, made)
    x = Network.answer(state, torch.randn(2, 200, 4, generator=rng, dtype=torch.float64))
    return rows, x, made


@pytest.mark.parametrize("clocks, updates", [([0, 10], [3, 3]), ([0, 5], [3, 0]), ([1, 2], [0, 0])])
def test_an_update_comes_every_so_many_steps_and_costs_its_turns(clocks, updates):
    rows, _, made = trained(clocks, turns=3, every=10)
    assert rows.shape == (2, ROWS, FEATURES) and made.queries == [ROWS * turns for turns in updates]


def test_training_raises_the_gap():
    def gap(x):
        return (teacher(x) - student(x)).square().mean((1, 2))

    assert (gap(trained(turns=200, lr=0.01, beta=0.0)[1]) > 2 * gap(trained((1, 1))[1])).all()


@pytest.mark.parametrize(
    "penalty, size", [("beta", lambda x: x.square().mean()), ("gamma", lambda x: student(x).square().mean())]
)
def test_penalties_keep_inputs_and_outputs_small(penalty, size):
    free, held = (trained(turns=100, lr=0.01, **{"beta": 0.0, "gamma": 0.0, penalty: w})[1] for w in (0.0, 50.0))
    assert float(size(held)) < 0.5 * float(size(free))
