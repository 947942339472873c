"""The style of all figures, and their conversion to PNG for MLflow and SVG for HTML pages."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from dfkd_tune.errors import SpecError
from dfkd_tune.utils.quoting import quoted

INK, SOFT, LINE, BAR, WORST = "#1b1f24", "#59636e", "#d5dae0", "#3a6ea5", "#b4462f"
PALETTE = (BAR, "#d9822b", "#3d8f6b", "#9b5fb5", "#b4462f", "#7a7d1f", "#4ba3b8", "#a0708a")
"""Colors of kinds in order of appearance; distinguishable on white and dark pages, and for color-blind readers."""
VARIABLES = {INK: "var(--ink)", SOFT: "var(--soft)", LINE: "var(--line)", "#fefefe": "var(--page)"}
"""Neutral color -> CSS variable of the page, so that figures follow a dark theme."""
PAPER = "#fefefe"
WIDTH, HEIGHT = 4.8, 3.0

_TEXT = {"font.size": 9.5, "font.family": "sans-serif", "axes.titlesize": 10, "axes.titleweight": "bold"}
_FRAME = {"axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "legend.frameon": False}
_COLORS = {f"{part}.color": SOFT for part in ("xtick", "ytick")} | {
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.titlecolor": INK,
    "text.color": INK,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
}
STYLE: dict[Any, Any] = (
    {"svg.fonttype": "none", "axes.titlelocation": "left", "legend.fontsize": 8.5} | _TEXT | _FRAME | _COLORS
)
"""Matplotlib parameters. Untyped, because only some releases have a type for their names."""


def canvas(width: float = WIDTH, height: float = HEIGHT, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure in our style and its axes, row by row; without a window or ``pyplot`` state."""
    with matplotlib.rc_context(STYLE):
        figure = Figure((width, height), layout="constrained")
        return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def given_or_new(axes: Axes | None) -> Axes:
    """The given axes, or those of a new figure that a notebook shows.

    Raises:
        SpecError: something else was given.
    """
    if isinstance(axes, Axes):
        return axes
    if axes is not None:
        raise SpecError("ax", f"must be Matplotlib's Axes, got {quoted(axes)}", remedy="plt.subplots()[1]")
    import matplotlib.pyplot as plt

    return plt.subplots()[1]


def label(axes: Axes, x: str, y: str, grid: Literal["both", "x", "y"] = "y") -> None:
    """Label both axes, and draw a faint grid along ``grid``."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(axis=grid)


def plain_ticks(*sides: Axis) -> None:
    """Use decimal tick labels on logarithmic axes that span less than a few powers of ten."""
    for side in sides:
        low, high = side.get_view_interval()
        if side.get_scale() == "log" and 0 < low < high < 30 * low:
            steps = LogLocator(subs=(1, 2, 5) if high > 6 * low else (1, 1.5, 2, 3, 5, 7))
            side.set_major_locator(MaxNLocator(5) if high < 2 * low else steps)
            side.set_minor_locator(NullLocator())
            side.set_major_formatter(lambda value, _: f"{value:.4g}")


def colors(kinds: Sequence[str]) -> dict[str, str]:
    """Map each kind to a color."""
    return {kind: PALETTE[i % len(PALETTE)] for i, kind in enumerate(kinds)}


@contextmanager
def _styled(**more: Any) -> Iterator[None]:
    """Our style for what is drawn inside. A sign that no font has, in the name of an input, is drawn as a box without a word."""
    style: dict[Any, Any] = STYLE | more
    with matplotlib.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def png(figure: Figure, dpi: int = 110) -> bytes:
    """The figure as PNG."""
    held = io.BytesIO()
    with _styled():
        figure.set_dpi(dpi)  # text has other widths at other resolutions
        _lay_out(figure)
        figure.savefig(held, format="png", dpi=dpi, metadata={"Software": None})
    return held.getvalue()


def svg(figure: Figure, name: str) -> str:
    """The figure as an ``<svg>`` element whose neutral colors follow the page.

    Args:
        figure: figure to draw.
        name: unique name on the page, which keeps the identifiers of figures apart.
    """
    held = io.StringIO()
    with _styled(**{"svg.hashsalt": name}):
        _lay_out(figure)
        figure.savefig(held, format="svg", metadata={"Date": None, "Creator": None})
    text = held.getvalue()
    for color, variable in VARIABLES.items():
        text = text.replace(color, variable)
    # Remove group ids: they are the same in every figure, and nothing refers to them.
    return re.sub(r'<g id="[^"]*"', "<g", text[text.index("<svg") :])


def _lay_out(figure: Figure) -> None:
    """Compute the layout once. Otherwise ``savefig`` also computes it in a trial run, which takes half of its time."""
    if (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")
