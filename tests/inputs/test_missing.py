"""Laws of missing numbers in rows: only their columns change, only what was drawn missing is missing, no row is written to."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dfkd_tune.inputs.missing import beyond, missing_as, present

VALUES = st.sampled_from([-math.inf, -1.5, 0.0, 2.0, math.inf, math.nan])
WIDTH = 4


@st.composite
def rows(draw, count=2):
    """Some tensors ``(k, n, WIDTH)`` of one shape, and the columns that may be missing."""
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 3)), WIDTH)
    size = math.prod(shape)
    made = [torch.tensor(draw(st.lists(VALUES, min_size=size, max_size=size))).view(shape) for _ in range(count)]
    return *made, draw(st.lists(st.integers(0, WIDTH - 1), unique=True))


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.equal(a.nan_to_num(99.0), b.nan_to_num(99.0))


@settings(max_examples=60, deadline=None)
@given(rows())
def test_only_the_columns_that_may_be_missing_change_and_nothing_is_written_to(given):
    z, drawn, columns = given
    others, before = [i for i in range(WIDTH) if i not in columns], z.clone()
    for found in (present(z, columns), missing_as(z, drawn, columns), beyond(z, drawn[0, 0], columns)):
        assert same(found[..., others], z[..., others]) and same(z, before)
        assert found is z or found.data_ptr() != z.data_ptr()


@settings(max_examples=60, deadline=None)
@given(rows())
def test_what_was_drawn_missing_is_missing(given):
    z, drawn, columns = given
    found = missing_as(present(z, columns), drawn, columns)
    assert torch.equal(found[..., columns].isnan(), drawn[..., columns].isnan())
    assert not present(found, columns)[..., columns].isnan().any()
    there = ~drawn.isnan() & ~z.isnan()
    assert torch.equal(found[there], z[there])


@settings(max_examples=60, deadline=None)
@given(rows(count=1), st.floats(-2, 2))
def test_numbers_beyond_their_edge_are_missing(given, edge):
    z, columns = given
    found = beyond(z, torch.full((WIDTH,), edge), columns)[..., columns]
    assert torch.equal(found.isnan(), z[..., columns].isnan() | (z[..., columns] > edge))


@pytest.mark.parametrize("columns", [[], [1, 3]])
def test_gradients_pass_where_a_number_is(columns):
    z = torch.tensor([[1.0, math.nan, 2.0, 3.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(present(z, columns)[:, [0, 2, 3]].sum(), z)
    assert gradient.tolist() == [[1.0, 0.0, 1.0, 1.0]]
