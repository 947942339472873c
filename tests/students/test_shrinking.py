"""A trained student made smaller: nothing that others can stand for is missed, whatever the architecture."""

import pytest
import torch

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.students.convolutional.conv1d import Conv1d
from dfkd_tune.students.convolutional.conv2d import Conv2d
from dfkd_tune.students.gru import GRU
from dfkd_tune.students.mlp import MLP
from dfkd_tune.students.rbf import RBF
from dfkd_tune.students.shrinking import shallower, shrunk, with_output_layer

PLAIN = Columns(4)
WINDOW = Columns(8, "window", [4, 2])
GRID = Columns(32, "grid", [4, 4, 2])
KINDS = [
    (MLP(7), PLAIN),
    (MLP(7, depth=2, activation="silu"), PLAIN),
    (RBF(7), PLAIN),
    (GRU(7), WINDOW),
    (Conv1d(7), WINDOW),
    (Conv2d(7), GRID),
]
IDS = [f"{type(student).__name__}-{i}" for i, (student, _) in enumerate(KINDS)]


def made(student, columns, outputs=2):
    rng = torch.Generator().manual_seed(3)
    weights = student.init_params(columns, outputs, rng, torch.float64)
    return weights, torch.randn(300, columns.width, generator=rng, dtype=torch.float64)


def answers(student, weights, x, columns):
    return student.answer([w[None] for w in weights], x[None], columns)[0]


def padded(student, weights, columns, width, outputs=2):
    """The same student with units of zero weights before its own."""
    wide = student.with_width(width)
    larger = []
    for weight, shape in zip(weights, wide.shapes(columns, outputs), strict=True):
        whole = torch.zeros(shape, dtype=weight.dtype)
        # The units of an axis lie unit after unit, so that the last ones are the student's own.
        whole[tuple(slice(b - a, b) if a != b else slice(None) for a, b in zip(weight.shape, shape, strict=True))] = (
            weight
        )
        larger.append(whole)
    return wide, larger


@pytest.mark.parametrize(("student", "columns"), KINDS, ids=IDS)
def test_units_that_do_nothing_are_those_that_go(student, columns):
    weights, x = made(student, columns)
    values = answers(student, weights, x, columns)
    wide, larger = padded(student, weights, columns, 10)
    torch.testing.assert_close(answers(wide, larger, x, columns), values)
    kept = shrunk(wide, larger, student, x, values, columns)
    assert [w.shape for w in kept] == [w.shape for w in weights]
    torch.testing.assert_close(answers(student, kept, x, columns), values, rtol=0.02, atol=0.02)


@pytest.mark.parametrize(("student", "columns"), KINDS, ids=IDS)
def test_any_width_has_the_shapes_of_that_architecture(student, columns):
    weights, x = made(student, columns)
    values = answers(student, weights, x, columns)
    errors = []
    for width in (6, 3, 1):
        smaller = student.with_width(width)
        kept = shrunk(student, weights, smaller, x, values, columns)
        assert [tuple(w.shape) for w in kept] == smaller.shapes(columns, 2)
        errors.append(float((answers(smaller, kept, x, columns) - values).square().mean()))
    assert errors[0] < errors[-1] <= 4 * float(values.var(0).mean())


@pytest.mark.parametrize(("student", "columns"), [KINDS[1], KINDS[4]], ids=["MLP", "Conv1d"])
def test_a_layer_can_be_left_out(student, columns):
    weights, x = made(student, columns)
    values = answers(student, weights, x, columns)
    flat = shallower(student, columns)
    assert flat is not None and flat.parameters(columns, 2) < student.parameters(columns, 2)
    kept = shrunk(student, weights, flat, x, values, columns)
    assert [tuple(w.shape) for w in kept] == flat.shapes(columns, 2)
    kept_both = shrunk(student, weights, flat.with_width(3), x, values, columns)
    assert [tuple(w.shape) for w in kept_both] == flat.with_width(3).shapes(columns, 2)


def test_other_students_keep_their_layers():
    assert [shallower(*KINDS[i]) for i in (0, 2, 3, 5)] == [None] * 4


def test_an_output_layer_is_fitted_where_it_is_linear():
    student, weights = MLP(7), None
    weights, x = made(student, PLAIN)
    values = answers(student, weights, x, PLAIN)
    weights[-2], weights[-1] = torch.zeros_like(weights[-2]), torch.zeros_like(weights[-1])
    again = with_output_layer(student, weights, x, values, PLAIN)
    torch.testing.assert_close(answers(student, again, x, PLAIN), values, rtol=0.02, atol=0.02)
    bumps, x = made(RBF(3), PLAIN)
    assert all(a is b for a, b in zip(with_output_layer(RBF(3), bumps, x, values, PLAIN), bumps, strict=True))
