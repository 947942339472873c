"""Layers that move values: each puts its gradient back where the values came from."""

import pytest
import torch
from fused_layers import check, drawn, rows_first

from dfkd_tune.teachers.fused.views import Concatenate, Mean, Permute, Reshape, Select, Slice

X = drawn(4, 3, 5)
LAYERS = [
    (Select(0, 2), lambda x: x[2]),
    (Select(1, 0), lambda x: x[:, 0]),
    (Slice(0, 1, 4), lambda x: x[1:4]),
    (Slice(1, 0, 3, 2), lambda x: x[:, ::2]),
    (Slice(0, 0, 4), lambda x: x),
    (Permute((1, 0, 2)), lambda x: x.transpose(0, 1)),
    (Mean((0,)), lambda x: x.mean(0, keepdim=True)),
    (Mean((1, 0)), lambda x: x.mean((0, 1), keepdim=True)),
]


@pytest.mark.parametrize("layer, function", LAYERS, ids=lambda part: repr(part) if hasattr(part, "value") else "")
def test_values_and_gradients_are_those_of_torch(layer, function):
    check(layer, function, X)


def test_one_of_one_is_the_whole():
    check(Select(0, 0), lambda x: x[0], X[:1])


@pytest.mark.parametrize("shape", [(12,), (2, 2, 3), (-1, 2)])
def test_a_shape_is_that_of_each_row(shape):
    check(Reshape(shape), rows_first(lambda x: x.reshape(len(x), *shape)), X)


@pytest.mark.parametrize("dimension", [0, 1])
def test_values_one_after_another_get_their_own_gradients(dimension):
    parts = [X, X.narrow(dimension, 0, 2) + 1, X]
    check(Concatenate(dimension), lambda *parts: torch.cat(parts, dimension), *parts)
