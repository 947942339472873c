"""A program while it grows: shapes without rows, and what it cannot hold."""

import pytest
import torch

from dfkd_tune.teachers.fused.arithmetic import Affine
from dfkd_tune.teachers.fused.builder import ROWS, NotFused, ProgramBuilder, Value
from dfkd_tune.teachers.fused.program import Program
from dfkd_tune.teachers.fused.views import Reshape


@pytest.fixture
def builder():
    return ProgramBuilder(7, torch.float64)


def test_arguments_follow_each_other_in_a_row(builder):
    signal, about = builder.arguments([(2, 3), ()])
    assert (signal.shape, about.shape) == ((2, 3), ())
    builder.outputs([about if about.shape else builder.add(Reshape((1,)), about), signal])
    x = torch.arange(14.0).view(2, 7).double()
    assert Program(tuple(builder.steps))(x).tolist() == torch.cat([x[:, 6:], x[:, :6]], dim=1).tolist()


def test_plain_rows_are_taken_as_they_are(builder):
    assert builder.arguments([(7,)]) == [builder.start] and builder.steps == []


def test_dimensions_are_counted_without_the_rows():
    value = Value(1, torch.zeros(3, 4, ROWS), rows=1)  # (3, N, 4) in PyTorch's order
    assert [value.dimension(i) for i in (0, 2, -1, -3)] == [0, 1, 1, 0]
    for rows in (1, -2, "1"):
        with pytest.raises(NotFused):
            value.dimension(rows)


def test_an_example_is_never_changed_by_a_layer(builder):
    before = builder.start.example.clone()
    one = torch.ones(1, 1, dtype=torch.float64)
    value = builder.add(Affine(2 * one, one), builder.start)
    assert torch.equal(value.example, 2 * before + 1) and torch.equal(builder.start.example, before)


def test_an_output_depends_on_rows_that_come_first(builder):
    moved = Value(1, torch.zeros(3, ROWS), rows=1)
    for values in ([torch.zeros(2)], [moved], [builder.start]):
        with pytest.raises(NotFused):
            builder.outputs(values)
