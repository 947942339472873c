"""The loss of outputs and input gradients: by hand as by autograd, with a weight for each column."""

import pytest
import torch

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.ops.activations import ACTIVATIONS
from dfkd_tune.students.base import SobolevTarget
from dfkd_tune.students.mlp import MLP
from dfkd_tune.students.sobolev import loss_and_gradients, match_by_autograd, match_one_layer

MEMBERS, ROWS, OUTPUTS, COLUMNS = 2, 7, 2, Columns(3)


def drawn(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def setting(student, weight):
    rng = torch.Generator().manual_seed(0)
    every = [student.init_params(COLUMNS, OUTPUTS, rng, torch.float64) for _ in range(MEMBERS)]
    weights, x = [torch.stack(layer) for layer in zip(*every, strict=True)], drawn(MEMBERS, ROWS, 3, seed=1)
    values, gradients = drawn(MEMBERS, ROWS, OUTPUTS, seed=2), drawn(MEMBERS, ROWS, OUTPUTS, 3, seed=3)
    return weights, x, SobolevTarget(values, gradients, drawn(MEMBERS, ROWS, 1, seed=4).abs(), weight)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    "weight",
    [torch.tensor([0.5, 2.0]).double().view(-1, 1, 1), torch.rand(MEMBERS, 1, OUTPUTS * 3).double()],
    ids=["one", "each column"],
)
def test_by_hand_is_as_by_autograd(activation, weight):
    student = MLP(width=4, activation=activation)
    weights, x, target = setting(student, weight)
    mine = match_one_layer(ACTIVATIONS[activation], weights, x, target)
    theirs = match_by_autograd(student, weights, x, COLUMNS, target)
    for one, other in zip(
        (mine.answers, mine.loss(), *mine.gradients), (theirs.answers, theirs.loss(), *theirs.gradients), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("depth", [1, 2])
def test_columns_of_weight_0_may_have_any_gradient(depth):
    student, mask = MLP(width=4, depth=depth), torch.tensor([1.0, 0.0, 1.0]).double().repeat(OUTPUTS).view(1, 1, -1)
    weights, x, target = setting(student, mask.expand(MEMBERS, 1, -1))
    other = target.gradients.clone()
    other[..., 1] += 100.0
    found = [
        loss_and_gradients(student, weights, x, COLUMNS, target._replace(gradients=each))
        for each in (target.gradients, other)
    ]
    torch.testing.assert_close(found[0].loss(), found[1].loss())
    for one, two in zip(found[0].gradients, found[1].gradients, strict=True):
        torch.testing.assert_close(one, two)
