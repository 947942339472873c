"""Let windows move at unknown speeds, and pixels go together over unknown lengths, where nothing says more."""

from __future__ import annotations

from collections.abc import Sequence

from dfkd_tune.inputs.columns import axes_of, is_stationary
from dfkd_tune.inputs.dependence.lengths import Lengths
from dfkd_tune.inputs.dependence.processes import Part, Processes, WindowProcess
from dfkd_tune.inputs.dependence.speeds import Speeds
from dfkd_tune.inputs.prior import InferredPrior, Inputs
from dfkd_tune.layouts.axes import CHANNELS, HEIGHT, STEPS, WIDTH, Axes

MOVES = "how fast channels move is not known, so that they do at any speed"
SMOOTH = "how far pixels go together is not known, so that they do over any length"
LEAST_STEPS = 3
"""Smallest number of steps, or of pixels of a side: two are two numbers and one correlation."""


def completed(inputs: Inputs) -> Inputs:
    """Inputs whose windows move and whose images are smooth; themselves if they have none, or if their dependence is of another kind.

    A channel moves at unknown speeds if nothing is declared of how it moves, nor of the correlations of its window. Pixels go together
    over unknown lengths if nothing is declared of how their image's values go together, and all pixels of a channel have one declaration:
    an image with a place of its own for each pixel is no stationary field.
    """
    if inputs.inferred is not None and inputs.inferred.shape is not None:
        return inputs
    if not isinstance(inputs.dependence, Processes | None):
        return inputs
    parts = () if inputs.dependence is None else inputs.dependence.parts
    shaped = axes_of(inputs)
    moving = [Speeds(axes, channels) for axes in shaped if (channels := _open_channels(axes, parts))]
    smooth = [Lengths(axes) for axes in shaped if _is_open(axes, parts) and is_stationary(inputs, axes)]
    found: list[Part] = [*moving, *smooth]
    if not found:
        return inputs
    told = [words for words, some in ((MOVES, moving), (SMOOTH, smooth)) if some]
    declared, known = inputs, {axes.start for axes in inputs.axes}
    if inputs.inferred is not None:
        told, declared = [inputs.inferred.told, *told], inputs.inferred.declared
    return inputs.replaced(
        dependence=Processes((*parts, *found)),
        inferred=InferredPrior("; ".join(told), declared),
        axes=(*inputs.axes, *(part.axes for part in found if part.axes.start not in known)),
    )


def _open_channels(axes: Axes, parts: Sequence[Part]) -> tuple[int, ...]:
    """Indices of the channels of a window of which nothing says how fast they move."""
    if axes.kind != "window" or axes.size(STEPS) < LEAST_STEPS:
        return ()
    own = next((part for part in parts if part.axes.start == axes.start), None)
    if own is None:
        return tuple(range(axes.size(CHANNELS)))
    if not isinstance(own, WindowProcess) or own.correlation:
        return ()
    return tuple(i for i, lags in enumerate(own.autocorrelations) if not lags)


def _is_open(axes: Axes, parts: Sequence[Part]) -> bool:
    """Whether nothing says how the pixels of an image go together."""
    large = axes.kind == "grid" and min(axes.size(HEIGHT), axes.size(WIDTH)) >= LEAST_STEPS
    return large and all(part.axes.start != axes.start for part in parts)
