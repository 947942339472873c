"""L-BFGS: it finds the minimum of a curved valley, and begins no step when its evaluations are used up."""

import pytest
import torch

from dfkd_tune.ops.lbfgs import descend


class Valley:
    """Rosenbrock's function of two leaves, whose minimum is 1, 1."""

    def __init__(self):
        self.leaves = [torch.tensor([[-1.2], [0.3]], dtype=torch.float64, requires_grad=True) for _ in range(2)]
        self.evaluations = 0

    def __call__(self):
        self.evaluations += 1
        x, y = (leaf.mT for leaf in self.leaves)  # whose gradients are not contiguous
        return ((1 - x).square() + 100 * (y - x.square()).square()).sum()


def test_it_finds_the_minimum():
    valley = Valley()
    descend(valley.leaves, valley, 200)
    for leaf in valley.leaves:
        torch.testing.assert_close(leaf.detach(), torch.ones(2, 1).double(), rtol=1e-6, atol=1e-6)


LINE_SEARCH = 25
"""Most evaluations of one line search of PyTorch."""


@pytest.mark.parametrize("evaluations", [1, 13, 20])
def test_no_step_begins_when_the_evaluations_are_used_up(evaluations):
    valley = Valley()
    descend(valley.leaves, valley, evaluations)
    assert evaluations <= valley.evaluations < evaluations + LINE_SEARCH


def test_more_evaluations_are_never_worse():
    reached = []
    for evaluations in (2, 8, 32):
        valley = Valley()
        descend(valley.leaves, valley, evaluations)
        reached.append(valley().item())
    assert reached == sorted(reached, reverse=True)


@pytest.mark.parametrize("evaluated", [1, 2, 5])
def test_it_stops_where_the_loss_is_no_number(evaluated):
    valley = Valley()
    descend(valley.leaves, lambda: valley() * (1.0 if valley.evaluations < evaluated else torch.nan), 200)
    assert valley.evaluations == evaluated and all(leaf.isfinite().all() for leaf in valley.leaves)
