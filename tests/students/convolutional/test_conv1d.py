"""What convolutional students hold beside the laws of every student: reach in time, causality, padding."""

import pytest
import torch

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.networks.conv1d import layers_for
from dfkd_tune.students.convolutional.conv1d import Conv1d

CHANNELS, OUTPUTS, ROWS = 2, 3, 6


def windows(steps: int) -> Columns:
    return Columns(steps * CHANNELS, "window", [steps, CHANNELS])


def member(student: Conv1d, columns: Columns) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return [w[None] for w in student.init_params(columns, OUTPUTS, rng, torch.float64)]


def rows(columns: Columns) -> torch.Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(1, ROWS, columns.width, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("steps", [1, 2, 5, 8, 9, 24])
def test_outputs_depend_on_every_step(steps, kernel):
    student, columns = Conv1d(width=4, kernel=kernel), windows(steps)
    x = rows(columns).requires_grad_()
    (gradient,) = torch.autograd.grad(student.answer(member(student, columns), x, columns).sum(), x)
    seen = gradient.view(ROWS, steps, CHANNELS).abs().sum((0, 2))
    assert bool((seen > 0).all())


@pytest.mark.parametrize("steps", [5, 12])
def test_it_is_the_full_dilated_convolution_read_at_the_last_step(steps):
    """The steps that are left out would not change the outputs."""
    student, columns = Conv1d(width=4, kernel=3), windows(steps)
    weights, x = member(student, columns), rows(columns)
    first, bias, *layers, out, shift = (weight[0] for weight in weights)
    h = x[0].view(ROWS, steps, CHANNELS) @ first + bias
    for i in range(student.depth(columns)):
        depth, point, own = layers[3 * i : 3 * i + 3]
        padded = torch.cat([h.new_zeros(ROWS, 2 * 2**i, 4), h], dim=1)
        taps = sum(padded[:, tap * 2**i : tap * 2**i + steps] * depth[tap] for tap in range(3))
        h = h + torch.nn.functional.silu(taps @ point + own)
    torch.testing.assert_close(student.answer(weights, x, columns)[0], h[:, -1] @ out + shift)


@pytest.mark.parametrize("steps", [2, 7, 24])
def test_it_has_as_many_parameters_as_it_says(steps):
    """Of a linear layer at each step, of each layer, and of the last linear layer."""
    layers = layers_for(steps, 3)
    expected = 4 * (CHANNELS + 1) + layers * 4 * (3 + 4 + 1) + OUTPUTS * (4 + 1)
    assert Conv1d(width=4).parameters(windows(steps), OUTPUTS) == expected


@pytest.mark.parametrize("kernel", [2, 3, 8])
def test_no_fewer_layers_reach_the_first_step(kernel):
    for steps in range(1, 60):
        layers = layers_for(steps, kernel)
        assert 1 + (kernel - 1) * (2**layers - 1) >= steps
        assert layers == 1 or 1 + (kernel - 1) * (2 ** (layers - 1) - 1) < steps


def test_fewer_layers_see_the_last_steps_alone():
    student, columns = Conv1d(width=4, kernel=3, layers=1), windows(9)
    x = rows(columns).requires_grad_()
    (gradient,) = torch.autograd.grad(student.answer(member(student, columns), x, columns).sum(), x)
    seen = gradient.view(ROWS, 9, CHANNELS).abs().sum((0, 2))
    assert not seen[:6].any() and bool((seen[6:] > 0).all())


def test_another_order_of_the_steps_is_another_input():
    student, columns = Conv1d(width=4), windows(6)
    weights, x = member(student, columns), rows(columns)
    turned = x.view(1, ROWS, 6, CHANNELS).flip(2).flatten(2)
    answers = student.answer(weights, x, columns)
    assert bool(((answers - student.answer(weights, turned, columns)).abs() > 1e-6).all())


def test_channels_with_zero_weights_stay_zero():
    """Members of different widths share a batched pass: padded channels neither answer nor learn."""
    narrow, wide, columns = Conv1d(width=4), Conv1d(width=7), windows(6)
    weights, x = member(narrow, columns), rows(columns)
    padded = [torch.zeros(1, *shape, dtype=torch.float64) for shape in wide.shapes(columns, OUTPUTS)]
    for ours, theirs in zip(padded, weights, strict=True):
        ours[tuple(slice(n) for n in theirs.shape)] = theirs
    answers, tape = wide.forward_with_tape(padded, x, columns)
    torch.testing.assert_close(answers, narrow.answer(weights, x, columns))
    for gradient, theirs in zip(wide.weight_gradients(padded, tape, answers.cos()), weights, strict=True):
        beyond = gradient.clone()
        beyond[tuple(slice(n) for n in theirs.shape)] = 0.0
        assert not beyond.any()
