"""Figures are the same bytes for the same data, read well, and leave the user's Matplotlib as it was."""

import re

import matplotlib
import pytest
from asked import fails
from matplotlib.figure import Figure

from dfkd_tune.errors import SpecError
from dfkd_tune.reporting.plot_style import PALETTE, canvas, colors, given_or_new, label, plain_ticks, png, svg


def drawn() -> Figure:
    figure, (axes,) = canvas()
    axes.plot([1, 2, 3], [0.5, 0.25, 0.125])
    label(axes, "trial", "RMSE")
    return figure


def test_the_same_data_are_the_same_bytes():
    """And the user's settings stay as they were."""
    before = dict(matplotlib.rcParams)
    assert png(drawn()) == png(drawn())
    assert dict(matplotlib.rcParams) == before


def test_figures_of_one_page_keep_apart():
    """A page holds several, and an identifier of one must not be another's."""
    pages = [svg(drawn(), name) for name in ("a", "a", "b")]
    assert pages[0] == pages[1] and pages[0].startswith("<svg") and "<script" not in pages[0]
    one, other = ({*re.findall(r' id="([^"]+)"', page)} for page in pages[1:])
    assert one and not one & other


@pytest.mark.parametrize(("low", "high"), [(0.02, 0.035), (0.02, 0.1), (0.02, 0.5)])
def test_ticks_of_a_short_logarithmic_axis_are_numbers(low, high):
    figure, (axes,) = canvas()
    axes.set_xscale("log")
    axes.plot([low, high], [1, 2])
    axes.set_xlim(low, high)
    plain_ticks(axes.xaxis)
    figure.draw_without_rendering()
    shown = [each.get_text() for each in axes.get_xticklabels() if low <= each.get_position()[0] <= high]
    assert len(shown) >= 2 and all(low <= float(text) <= high for text in shown)


def test_axes_are_the_users_or_new_ones():
    import matplotlib.pyplot as plt

    _, (axes,) = canvas()
    assert given_or_new(axes) is axes
    assert given_or_new(None) is plt.gca()
    plt.close()
    with fails("ax", "must be Matplotlib's Axes, got 3", kind=SpecError):
        given_or_new(3)


@pytest.mark.parametrize("drawing", [png, lambda figure: svg(figure, "one")], ids=["png", "svg"])
def test_a_sign_that_no_font_has_is_no_warning(drawing, recwarn):
    figure = drawn()
    figure.axes[0].set_title("temperature \N{SNOWFLAKE}\N{PERSONAL COMPUTER}\N{FIRE}")
    assert drawing(figure)
    assert not recwarn.list


def test_kinds_keep_their_color_by_their_place():
    kinds = [f"kind {i}" for i in range(len(PALETTE) + 2)]
    found = colors(kinds)
    assert [*found] == kinds and len({*found.values()}) == len(PALETTE) and found["kind 0"] == PALETTE[0]
