"""A teacher that is a chain of layers answers, and pulls gradients back, as its module does."""

import pytest
import torch
from torch import nn

from dfkd_tune.teachers.linear_chain import read_chain

ROWS = torch.randn(20, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def normalized(width, affine=True):
    """Batch normalization that has seen rows of another mean and spread than its own."""
    norm = nn.BatchNorm1d(width, affine=affine).double()
    norm(3 * torch.randn(200, width, generator=torch.Generator().manual_seed(2), dtype=torch.float64) + 1)
    if affine:
        nn.init.uniform_(norm.weight, 0.5, 2.0)
        nn.init.normal_(norm.bias)
    return norm


MODULES = {
    "one layer": lambda: nn.Sequential(nn.Linear(4, 1)),
    "tanh": lambda: nn.Sequential(nn.Linear(4, 9), nn.Tanh(), nn.Linear(9, 1)),
    "three outputs": lambda: nn.Sequential(nn.Linear(4, 9), nn.SiLU(), nn.Linear(9, 3)),
    "deep": lambda: nn.Sequential(nn.Linear(4, 9), nn.Tanh(), nn.Linear(9, 7), nn.Sigmoid(), nn.Linear(7, 1)),
    "batch norm": lambda: nn.Sequential(
        nn.Linear(4, 9),
        normalized(9),
        nn.ReLU(),
        nn.Linear(9, 9),
        normalized(9, affine=False),
        nn.Tanh(),
        nn.Linear(9, 2),
    ),
}


@pytest.mark.parametrize("exported", [False, True], ids=["module", "pt2"])
@pytest.mark.parametrize("name", MODULES)
def test_answers_and_pullbacks_are_those_of_the_module(name, exported, tmp_path):
    torch.manual_seed(0)
    module = MODULES[name]().double().eval().requires_grad_(False)
    read = module
    if exported:
        shapes = ({0: torch.export.Dim("batch", min=1, max=1_000)},)
        torch.export.save(torch.export.export(module, (ROWS[:2],), dynamic_shapes=shapes), tmp_path / "net.pt2")
        read = torch.export.load(tmp_path / "net.pt2").module()
    quick = read_chain(read).quick()
    x = ROWS.clone().requires_grad_()
    expected = module(x)
    gradient = torch.cos(expected.detach())
    (pulled,) = torch.autograd.grad((gradient * expected).sum(), x)
    answers, pull = quick.vjp(ROWS)
    for mine, theirs in ((quick(ROWS), expected), (answers, expected), (pull(gradient), pulled)):
        torch.testing.assert_close(mine, theirs.detach(), rtol=1e-9, atol=1e-11)


class Joined(nn.Module):
    """Some networks, and what is made of their answers."""

    def __init__(self, join, *members):
        super().__init__()
        self.join, self.members = join, nn.ModuleList(members)

    def forward(self, x):
        return self.join([member(x) for member in self.members])


def small(activation=nn.Tanh, width=5):
    return nn.Sequential(nn.Linear(4, width), activation(), nn.Linear(width, 2))


def exported(module):
    shapes = ({0: torch.export.Dim("batch", min=1, max=1_000)},)
    return torch.export.export(module.double().eval(), (ROWS[:2],), dynamic_shapes=shapes).module()


@pytest.mark.parametrize(
    "join",
    [
        lambda each: torch.stack(each).mean(0),
        lambda each: torch.stack(each).sum(0),
        lambda each: (each[0] + each[1] + each[2]) / 3,
        lambda each: 0.5 * each[0] + each[1] * 2 + each[2],
    ],
    ids=["mean", "sum", "average", "weighted"],
)
def test_joined_networks_of_one_hidden_layer_are_one_chain(join):
    torch.manual_seed(0)
    module = Joined(join, small(), small(width=7), small(width=3)).double()
    chain = read_chain(exported(module))
    assert len(chain.layers[0][0]) == 15 and [*chain.activations] == ["tanh"]
    torch.testing.assert_close(chain.quick()(ROWS), module(ROWS), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    "join",
    [
        lambda each: torch.stack(each).amax(0),
        lambda each: torch.stack(each, dim=1).mean(1),
        lambda each: torch.stack(each).mean(-1),
        lambda each: torch.tanh(each[0]) + each[1],
        lambda each: each[0] * each[1],
    ],
    ids=["max", "other dimension", "over outputs", "bent", "product"],
)
def test_what_is_no_sum_of_networks_is_no_chain(join):
    assert read_chain(exported(Joined(join, small(), small()))) is None


def test_networks_of_unlike_units_are_no_chain():
    assert read_chain(exported(Joined(sum, small(nn.ReLU), small(nn.Tanh)))) is None
    deep = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2))
    assert read_chain(exported(Joined(lambda each: torch.stack(each).mean(0), deep, deep))) is None


def test_batch_normalization_by_the_batch_is_no_chain():
    module = nn.Sequential(nn.Linear(4, 9), nn.BatchNorm1d(9, track_running_stats=False), nn.Tanh(), nn.Linear(9, 1))
    assert read_chain(module.eval()) is None


def test_a_normalization_that_is_still_training_is_no_chain():
    module = nn.Sequential(nn.Linear(4, 9), nn.BatchNorm1d(9), nn.Tanh(), nn.Linear(9, 1))
    assert read_chain(module.train()) is None and read_chain(module.eval()) is not None
