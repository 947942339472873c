"""The generator network, against modules and the RMSprop of PyTorch."""

import pytest
import torch
from generator_contexts import LIKE, drawn
from torch import nn

from dfkd_tune.generators.adversarial import Adversarial
from dfkd_tune.generators.network import EPS, SMOOTHING, Network
from dfkd_tune.utils.strategy import Stacked

NOISE, HIDDEN, FEATURES, ROWS = 4, 5, 3, 7
ABOUT = {"lr": (0.01, 0.03), "weight_decay": (0.1, 0.0), "momentum": (0.0, 0.5)}


def made() -> tuple[dict[str, torch.Tensor], list[nn.Sequential]]:
    """The stacked state of two members, and the same networks as modules."""
    rng = torch.Generator().manual_seed(0)
    every = [Network.init_state(NOISE, HIDDEN, FEATURES, rng, torch.float64) for _ in range(2)]
    modules = []
    for state in every:
        module = nn.Sequential(nn.Linear(NOISE, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, FEATURES)).double()
        for layer, i in ((module[0], 1), (module[2], 2)):
            layer.load_state_dict({"weight": state[f"w{i}"].T, "bias": state[f"b{i}"].flatten()})
        modules.append(module)
    return {name: torch.stack([state[name] for state in every]) for name in every[0]}, modules


def test_it_answers_as_the_modules_do_and_starts_within_their_range():
    (state, modules), z = made(), drawn(2, ROWS, NOISE)
    expected = torch.stack([module(rows) for module, rows in zip(modules, z, strict=True)])
    torch.testing.assert_close(Network.answer(state, z), expected.detach(), rtol=1e-12, atol=1e-12)
    for name, fan_in in (("w1", NOISE), ("b1", NOISE), ("w2", HIDDEN), ("b2", HIDDEN)):
        assert float(state[name].abs().max()) <= fan_in**-0.5


def test_training_is_rmsprop_of_torch():
    state, modules = made()
    h = Stacked([Adversarial(**{name: pair[k] for name, pair in ABOUT.items()}) for k in range(2)], LIKE)
    settings = [{name: pair[k] for name, pair in ABOUT.items()} for k in range(2)]
    optimizers = [
        torch.optim.RMSprop(module.parameters(), alpha=SMOOTHING, eps=EPS, **one)
        for module, one in zip(modules, settings, strict=True)
    ]
    for step in range(4):
        z = drawn(2, ROWS, NOISE, seed=step)
        Network.train(h, state, z, [0, 1], torch.cos)  # the gradient of a sum of sines
        for module, optimizer, rows in zip(modules, optimizers, z, strict=True):
            optimizer.zero_grad()
            module(rows).sin().sum().backward()
            optimizer.step()
    for k, module in enumerate(modules):
        for name, value in (("w1", module[0].weight.T), ("b1", module[0].bias), ("w2", module[2].weight.T)):
            torch.testing.assert_close(state[name][k].squeeze(0), value.detach(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("due", [[0], [1]])
def test_members_that_are_not_due_keep_their_whole_state(due):
    state, _ = made()
    before, (other,) = {name: value.clone() for name, value in state.items()}, {0, 1} - {*due}
    Network.train(Stacked([Adversarial(momentum=0.5)] * 2, LIKE), state, drawn(2, ROWS, NOISE), due, torch.cos)
    for name, value in state.items():
        assert torch.equal(value[other], before[name][other]) and not torch.equal(value[due[0]], before[name][due[0]])


def test_its_pullback_is_that_of_autograd():
    state, _ = made()
    z, gradient = drawn(2, ROWS, NOISE), drawn(2, ROWS, FEATURES, seed=1)
    values, pull = Network.vjp(state, z)
    expected, autograd = torch.func.vjp(lambda rows: Network.answer(state, rows), z)
    torch.testing.assert_close(values, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(pull(gradient), autograd(gradient)[0], rtol=1e-12, atol=1e-12)
