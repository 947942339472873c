"""How far a row may move from its prior row: each bound is reached and never exceeded."""

import math

import pytest
import torch

from dfkd_tune.inputs.geometry import Geometry
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.input_bounds import INPUT_BOUNDS, L2, Box, Linf, Mahalanobis
from dfkd_tune.testing.generators import trained_on
from dfkd_tune.testing.problems import make_problem, recipe
from dfkd_tune.testing.strategies import LIKE
from dfkd_tune.utils.strategy import Stacked


def travel_of(kind, x, origin, item, problem):
    """How far rows went, in units of what the bound allows."""
    root = math.sqrt(x.shape[-1])
    if kind == "linf":
        return (x - origin).abs().amax(-1) / item.radius
    if kind == "l2":
        return (x - origin).norm(dim=-1) / (item.radius * root)
    if kind == "box":
        return x.abs().amax(-1) / item.reach
    if kind == "mahalanobis":
        precision = torch.linalg.inv(torch.cov(problem.pool.z.T))
        return torch.einsum("...d,de,...e->...", x, precision, x).sqrt() / (item.radius * root)
    return (x - origin).abs().amax(-1) / 2.0  # two cold RMSprop steps of 0.1 travel less than 1 each


@pytest.mark.parametrize("kind", INPUT_BOUNDS)
class TestInputBounds:
    def test_holds_what_travels(self, kind):
        problem, item = make_problem(inputs=Inputs.unknown(5)), INPUT_BOUNDS[kind]()
        step_size = 0.1 if kind == "steps" else 3.0
        one = recipe(generator={"step_size": step_size, "decay": 0.0}, input_bound=kind)
        synthetic, _, _, _, origin = trained_on(problem, one)
        travel = travel_of(kind, synthetic, origin, item, problem)
        assert 0.8 < travel.max() <= 1 + 1e-5


FREE = Geometry(torch.full((3,), -torch.inf), torch.full((3,), torch.inf), torch.eye(3).double())
FAR = torch.tensor([[[5.0, 0.0, 0.0], [3.0, -3.0, 3.0]]], dtype=torch.float64)
HERE = torch.full((1, 2, 3), 0.5, dtype=torch.float64)


@pytest.mark.parametrize("item", [L2(radius=1.0), Mahalanobis(radius=1.0)])
def test_a_distance_shortens_a_move_and_keeps_its_direction(item):
    start = torch.zeros_like(HERE) if isinstance(item, Mahalanobis) else HERE
    found = type(item).contain(Stacked([item], LIKE), FAR, start, FREE) - start
    torch.testing.assert_close(found.norm(dim=-1), torch.full((1, 2), math.sqrt(3)).double())
    torch.testing.assert_close(torch.cosine_similarity(found, FAR - start, dim=-1), torch.ones(1, 2).double())


@pytest.mark.parametrize("item", [Linf(radius=1.0), L2(radius=1.0), Box(reach=1.0), Mahalanobis(radius=1.0)])
def test_a_bound_is_active_where_it_moved_a_row(item):
    h, x = Stacked([item], LIKE), torch.cat([FAR[:, :1], torch.full((1, 1, 3), 0.4).double()], dim=1)
    moved = type(item).contain(h, x, HERE, FREE)
    assert type(item).active(h, moved, HERE, FREE).tolist() == [[True, False]]


def test_a_box_is_the_declared_range_where_there_is_one():
    ranged = Geometry(torch.tensor([-torch.inf, -0.2, -9.0]), torch.tensor([torch.inf, 0.3, 9.0]), FREE.precision)
    x = torch.tensor([[[7.0, 7.0, 7.0], [-7.0, -7.0, -7.0]]], dtype=torch.float64)
    found = Box.contain(Stacked([Box(reach=2.0)], LIKE), x, x, ranged)
    torch.testing.assert_close(found, torch.tensor([[[2.0, 0.3, 2.0], [-2.0, -0.2, -2.0]]]).double())
