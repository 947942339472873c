"""The key ``window`` of a features file: some channels at successive steps, each channel declared once.

    window:
      steps: 24
      channels: [{name: temp, mean: 20, std: 4, autocorrelation: [0.98, 0.95]}, {name: flow, range: [0, 9], time_constant: 3.5},
                 {name: valve, levels: [0, 1]}]
      correlation: [[1], [0.3, 1], [0, 0, 1]]    # optional: rank correlations between channels at the same step
      order: channels_first                      # optional: if the teacher's signature does not determine it

Channel ``temp`` at step 3 is the feature ``temp[3]``.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Annotated, Any, Self

import torch
from pydantic import Field, model_validator

from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs import entries
from dfkd_tune.inputs.arguments import MOST_FEATURES, Described, misfit
from dfkd_tune.inputs.dependence.processes import MOST_STEPS, SHOWN_LAGS, WindowProcess
from dfkd_tune.inputs.dependence.rank_correlation import SLACK, triangle
from dfkd_tune.inputs.dependence.stationary import nearest, toeplitz
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.layouts.axes import CHANNELS, STEPS, Axes, Order, long_sizes, window_axes
from dfkd_tune.layouts.signature import Argument, Unfit
from dfkd_tune.utils.quoting import quoted
from dfkd_tune.utils.strategy import strategy


@strategy
class Channel(Feature):
    """The declaration of one channel of a window: that of its values at every step, and how fast they move.

    Args:
        autocorrelation: rank correlations of the channel with itself 1, 2, ... steps later. Beyond the last one, it decays as an
            autoregressive process of that order does.
        time_constant: steps after which the autocorrelation has decayed to 1/e; in place of ``autocorrelation``.
    """

    autocorrelation: Annotated[list[Annotated[float, Field(ge=-1, le=1)]], Field(min_length=1)] | None = None
    time_constant: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one_speed(self) -> Self:
        if self.autocorrelation is not None and self.time_constant is not None:
            raise ValueError("autocorrelation and time_constant exclude each other")
        return self

    def lags(self, steps: int) -> tuple[float, ...]:
        """Rank autocorrelations from lag 1; empty if nothing is declared."""
        if self.time_constant is None:
            return tuple(self.autocorrelation or ())
        return tuple(math.exp(-lag / self.time_constant) for lag in range(1, steps))

    def at(self, step: int) -> Feature:
        """The channel at a step, as a feature."""
        held: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(Feature)}
        held["name"] = f"{self.name}[{step}]"
        return Feature(**held)


@strategy
class Window:
    """A window of channels at successive steps.

    Args:
        steps: number of steps.
        channels: a name or a mapping for each channel.
        correlation: Spearman rank correlations between channels at the same step, lower triangle, one row per channel.
        order: whether channels are the first dimension of the teacher's argument after the batch, or the last one. Left out: as
            its shape says; last where it says nothing.
    """

    steps: Annotated[int, Field(ge=1, le=MOST_FEATURES)]
    channels: Annotated[list[Any], Field(min_length=1)]
    correlation: list[Any] | None = None
    order: Order | None = None


def windowed(value: Any, place: str, argument: Argument | None) -> Described:
    """The values of an argument are a window; arguments and errors are those of ``Describe``."""
    window: Window = entries.entry(Window, value, place)
    channels = [entries.feature(each, f"{place}.channels[{i}]", Channel) for i, each in enumerate(window.channels)]
    _checked(window, channels, place)
    try:
        axes = window_axes(window.steps, len(channels), window.order, argument and argument.shape)
    except Unfit as error:
        raise misfit(error, place, argument, _remedy(window, len(channels), argument)) from None
    ranks = (
        ()
        if window.correlation is None
        else triangle(window.correlation, len(channels), f"{place}.correlation", "channel")
    )
    lags = tuple(channel.lags(window.steps) for channel in channels)
    process = WindowProcess(axes, lags, ranks) if ranks or any(lags) else None
    if process is not None and window.steps > MOST_STEPS:
        rule = f"{window.steps:,} steps, {MOST_STEPS:,} at most where it is said how channels go on or go together"
        raise FeaturesError(
            place, rule, remedy="take fewer steps, or leave out autocorrelation, time_constant and correlation"
        )
    for i, channel in enumerate(channels):
        _possible(channel.autocorrelation or [], f"{place}.channels[{i}].autocorrelation")
    return Described(axes.sizes, lambda names: _features(channels, axes), axes, process)


def _features(channels: list[Channel], axes: Axes) -> list[Feature]:
    """A feature for each value, in row-major order of the argument."""
    steps = range(axes.size(STEPS))
    if axes.names == (STEPS, CHANNELS):
        return [channel.at(step) for step in steps for channel in channels]
    return [channel.at(step) for channel in channels for step in steps]


def _checked(window: Window, channels: list[Channel], place: str) -> None:
    """Check what holds between the keys of a window."""
    if (values := window.steps * len(channels)) > MOST_FEATURES:
        rule = f"{window.steps:,} steps of {len(channels):,} channels are {values:,} values, {MOST_FEATURES:,} at most"
        raise FeaturesError(place, rule, remedy="take fewer steps")
    names: set[str] = set()
    for i, channel in enumerate(channels):
        if channel.name in names:
            raise FeaturesError(f"{place}.channels[{i}].name", f"{quoted(channel.name)} is given twice")
        names.add(channel.name)
        if channel.autocorrelation is not None and len(channel.autocorrelation) >= window.steps:
            rule = f"holds {len(channel.autocorrelation)} lags, {window.steps - 1} at most in {window.steps} steps"
            raise FeaturesError(f"{place}.channels[{i}].autocorrelation", rule, remedy="leave the last ones out")


def _possible(lags: list[float], place: str) -> None:
    """Check that a series can have these autocorrelations, but for rounding and for what few rows tell."""
    r = torch.tensor([1.0, *lags], dtype=torch.float64)
    least = float(torch.linalg.eigvalsh(toeplitz(r))[0])
    if least < -SLACK:
        near = ", ".join(f"{value:.2g}" for value in nearest(r)[1 : SHOWN_LAGS + 1].tolist())
        rule = f"no series has these (an eigenvalue is {least:.2g}), the nearest begin with {near}"
        raise FeaturesError(place, rule, remedy="check signs, or give the first lags alone")


def _remedy(window: Window, channels: int, argument: Argument | None) -> str:
    """The window that would fit an argument."""
    sizes = long_sizes((argument and argument.shape) or ())
    if window.order is not None and sizes in ([window.steps, channels], [channels, window.steps]):
        return "leave order out"
    if sizes == [window.steps, channels]:
        return f"window: {{steps: {window.steps}, channels: [...], order: channels_last}}, or order: channels_first"
    if len(sizes) != 2:
        return "features: [...] declares the values of an argument that is no window"
    steps = (
        sizes[1 - sizes.index(channels)] if channels in sizes else window.steps if window.steps in sizes else sizes[0]
    )
    return f"window: {{steps: {steps}, channels: [...]}} with {sizes[1 - sizes.index(steps)]} channels"
