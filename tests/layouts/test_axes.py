"""Which column holds which step, channel and pixel."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dfkd_tune.layouts.axes import grid_axes, window_axes
from dfkd_tune.layouts.signature import Unfit

SIZES = st.integers(1, 5)


@given(SIZES, SIZES, st.sampled_from(["channels_first", "channels_last"]))
def test_columns_find_the_values_of_a_window(steps, channels, order):
    """Row-major rows of an argument in either order hold at ``columns`` what the argument holds at step and channel."""
    axes = window_axes(steps, channels, order, None)
    argument = torch.rand(3, *axes.sizes)
    found = argument.flatten(1)[:, axes.columns("steps", "channels")]
    assert torch.equal(found, argument if order == "channels_last" else argument.transpose(1, 2))
    assert torch.equal(axes.columns("channels", "steps"), axes.columns("steps", "channels").T)


@given(SIZES, SIZES, SIZES, st.sampled_from(["channels_first", "channels_last"]))
def test_columns_find_the_values_of_an_image(height, width, channels, order):
    axes = grid_axes(height, width, channels, order, None)
    argument = torch.rand(3, *axes.sizes)
    found = argument.flatten(1)[:, axes.columns("channels", "height", "width")]
    assert torch.equal(found, argument if order == "channels_first" else argument.permute(0, 3, 1, 2))


@given(SIZES, SIZES)
def test_a_shape_says_the_order_unless_it_fits_both(steps, channels):
    if steps != channels or steps == 1:
        for order in ("channels_last", "channels_first"):
            shape = window_axes(steps, channels, order, None).sizes
            found = window_axes(steps, channels, None, shape).columns("steps", "channels")
            assert torch.equal(found, window_axes(steps, channels, order, None).columns("steps", "channels"))
    else:
        with pytest.raises(Unfit, match="does not say which"):
            window_axes(steps, channels, None, (steps, channels))
    assert window_axes(steps, channels, None, (steps * channels,)).order in ("channels_last", "channels_first")


def test_dimensions_of_size_one_need_not_be_there():
    assert grid_axes(3, 4, 1, None, (3, 4)).sizes == (1, 3, 4)
    assert grid_axes(3, 4, 1, None, (1, 3, 4, 1)).width == 12
    assert window_axes(24, 1, None, (24,)).sizes == (24, 1)


@pytest.mark.parametrize("shape", [(24, 5), (23, 6), (6, 24, 2), (24,)])
def test_a_shape_that_does_not_fit(shape):
    with pytest.raises(Unfit, match=r"declares \(N, 24, 6\) or \(N, 6, 24\)"):
        window_axes(24, 6, None, shape)


def test_axes_start_where_their_argument_does():
    from dataclasses import replace

    axes = window_axes(2, 3, None, None)
    assert torch.equal(replace(axes, start=7).columns("steps", "channels"), axes.columns("steps", "channels") + 7)
