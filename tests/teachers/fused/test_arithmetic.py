"""Sums, products and normalizations of fused teachers, against autograd."""

import pytest
import torch
from fused_layers import check, drawn
from torch.nn import functional as F

from dfkd_tune.teachers.fused.arithmetic import Add, Affine, LayerNorm, Multiply

X, Y = drawn(4, 3, 5), drawn(4, 3, 5, seed=1)


@pytest.mark.parametrize("sizes", [(4, 1, 1), (1, 3, 1), (4, 3, 1), (1, 1, 1)])
def test_an_affine_map_of_channels_or_steps(sizes):
    scale, shift = drawn(*sizes, seed=2), drawn(*sizes, seed=3)
    check(Affine(scale, shift), lambda x: shift + scale * x, X)


@pytest.mark.parametrize("factor", [1.0, -1.0, 0.3])
def test_a_sum(factor):
    check(Add(factor), lambda x, y: x + factor * y, X, Y)
    check(Add(factor), lambda x, y: x + factor * y, X, X)


def test_a_product():
    check(Multiply(), lambda x, y: x * y, X, Y)


@pytest.mark.parametrize("eps", [1e-5, 0.1])
@pytest.mark.parametrize("x", [X, 1e-3 * X, torch.ones_like(X)], ids=["plain", "small", "constant"])
def test_a_layer_norm_is_over_the_dimension_before_the_rows(x, eps):
    check(LayerNorm(eps), lambda x: F.layer_norm(x.mT, (3,), eps=eps).mT, x)
