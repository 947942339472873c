"""Let the channels of windows move at unknown speeds where nothing says how fast they do."""

from __future__ import annotations

from dfkd_tune.inputs.columns import axes_of
from dfkd_tune.inputs.dependence.processes import ImageField, Processes, WindowProcess
from dfkd_tune.inputs.dependence.speeds import Speeds
from dfkd_tune.inputs.prior import InferredPrior, Inputs
from dfkd_tune.layouts.axes import CHANNELS, STEPS, Axes

DESCRIPTION = "how fast channels move is not known, so that they do at any speed"
LEAST_STEPS = 3
"""Smallest number of steps of a window whose channels move: two steps are one number and one correlation."""


def completed(inputs: Inputs) -> Inputs:
    """Inputs whose windows move; themselves if they have none, or if their dependence is of another kind.

    A channel moves at unknown speeds if nothing is declared of how it moves, nor of the correlations of its window.
    """
    if inputs.inferred is not None and inputs.inferred.shape is not None:
        return inputs
    if not isinstance(inputs.dependence, Processes | None):
        return inputs
    parts = () if inputs.dependence is None else inputs.dependence.parts
    windows = [axes for axes in axes_of(inputs) if axes.kind == "window" and axes.size(STEPS) >= LEAST_STEPS]
    found = [Speeds(axes, channels) for axes in windows if (channels := _open(axes, parts))]
    if not found:
        return inputs
    told, declared = DESCRIPTION, inputs
    if inputs.inferred is not None:
        told, declared = f"{inputs.inferred.told}; {DESCRIPTION}", inputs.inferred.declared
    known = {axes.start for axes in inputs.axes}
    return inputs.replaced(
        dependence=Processes((*parts, *found)),
        inferred=InferredPrior(told, declared),
        axes=(*inputs.axes, *(axes for axes in windows if axes.start not in known)),
    )


def _open(axes: Axes, parts: tuple[WindowProcess | ImageField | Speeds, ...]) -> tuple[int, ...]:
    """Indices of the channels of a window of which nothing says how fast they move."""
    own = next((part for part in parts if part.axes.start == axes.start), None)
    if own is None:
        return tuple(range(axes.size(CHANNELS)))
    if not isinstance(own, WindowProcess) or own.correlation:
        return ()
    return tuple(i for i, lags in enumerate(own.autocorrelations) if not lags)
