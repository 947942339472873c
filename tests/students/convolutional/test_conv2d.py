"""What convolutional students over grids hold beside the laws of every student: reach, order of dimensions, padding."""

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.networks.conv2d import halved, layers_for
from dfkd_tune.students.convolutional.conv2d import Conv2d

CHANNELS, OUTPUTS, ROWS = 2, 3, 6


def grids(height: int, width: int) -> Columns:
    return Columns(height * width * CHANNELS, "grid", [height, width, CHANNELS])


def member(student: Conv2d, columns: Columns) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return [w[None] for w in student.init_params(columns, OUTPUTS, rng, torch.float64)]


def rows(columns: Columns) -> torch.Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(1, ROWS, columns.width, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (7, 8), (9, 3)])
def test_outputs_depend_on_every_pixel(size, kernel):
    student, columns = Conv2d(width=4, kernel=kernel), grids(*size)
    x = rows(columns).requires_grad_()
    (gradient,) = torch.autograd.grad(student.answer(member(student, columns), x, columns).sum(), x)
    assert bool((gradient.abs().sum((0, 1)) > 0).all())


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", [(5, 6), (8, 8)])
def test_it_is_the_full_convolution_at_every_second_pixel(size, kernel):
    """Each pixel that is computed lies in the middle of its taps, as in a convolution that keeps the size."""
    student, columns = Conv2d(width=4, kernel=kernel), grids(*size)
    weights, x = member(student, columns), rows(columns)
    first, bias, *layers, out, shift = (weight[0] for weight in weights)

    def same(h, taps, own=None, groups=1):
        full = taps.T.unflatten(1, (-1, kernel, kernel))
        return F.conv2d(h, full, own, padding="same", groups=groups)[:, :, ::2, ::2]

    h = F.silu(same(x[0].view(ROWS, *size, CHANNELS).permute(0, 3, 1, 2), first, bias))
    for depth, point, own in zip(layers[::3], layers[1::3], layers[2::3], strict=True):
        mixed = torch.einsum("nchw,cd->ndhw", same(h, depth, groups=4), point) + own[:, None, None]
        h = h[:, :, ::2, ::2] + F.silu(mixed)
    torch.testing.assert_close(student.answer(weights, x, columns)[0], h.flatten(1) @ out + shift)


@pytest.mark.parametrize("size", [(1, 1), (5, 8), (28, 28)])
def test_it_has_as_many_parameters_as_it_says(size):
    """Of the first convolution, of each further layer, and of the linear layer."""
    layers = layers_for(*size)
    left = halved(size[0], layers) * halved(size[1], layers)
    expected = 4 * (9 * CHANNELS + 1) + (layers - 1) * 4 * (9 + 4 + 1) + OUTPUTS * (4 * left + 1)
    assert Conv2d(width=4).parameters(grids(*size), OUTPUTS) == expected


def test_the_fewest_layers_leave_two_by_two_pixels():
    for height in range(1, 40):
        for width in (1, 2, 3, 17):
            layers = layers_for(height, width)
            assert max(halved(height, layers), halved(width, layers)) <= 2
            assert layers == 1 or max(halved(height, layers - 1), halved(width, layers - 1)) > 2


def test_rows_of_an_argument_with_channels_first_are_the_same_images():
    """``index`` says where the columns of ``(N, C, H, W)`` are."""
    student, last = Conv2d(width=4), grids(5, 6)
    weights, x = member(student, last), rows(last)
    places = torch.arange(last.width).view(CHANNELS, 5, 6).permute(1, 2, 0).flatten().tolist()
    first = dataclasses.replace(last, index=places)
    turned = x.view(1, ROWS, 5, 6, CHANNELS).permute(0, 1, 4, 2, 3).flatten(2)
    torch.testing.assert_close(student.answer(weights, turned, first), student.answer(weights, x, last))


def test_channels_with_zero_weights_stay_zero():
    """Members of different widths share a batched pass: padded channels neither answer nor learn."""
    narrow, wide, columns = Conv2d(width=4), Conv2d(width=7), grids(6, 5)
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
