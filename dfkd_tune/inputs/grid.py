"""The key ``grid`` of a features file: the pixels of an image, row by row.

    grid: {height: 32, width: 32, channels: 3, range: [0, 1], mean: [0.49, 0.48, 0.45], std: [0.25, 0.24, 0.26]}

Pixel ``(row, column)`` of the only channel is the feature ``pixel_3_2``, and ``pixel_1_3_2`` is that of channel 1 of several.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs import entries
from dfkd_tune.inputs.arguments import MOST_FEATURES, Described, misfit
from dfkd_tune.inputs.dependence.processes import MOST_PIXELS, ImageField
from dfkd_tune.inputs.dependence.rank_correlation import triangle
from dfkd_tune.layouts.axes import CHANNELS, HEIGHT, WIDTH, Axes, Order, grid_axes, long_sizes
from dfkd_tune.layouts.signature import Argument, Unfit
from dfkd_tune.utils.strategy import strategy


@strategy
class Grid:
    """A grid of pixels as features, row by row.

    Args:
        height, width: size of the image in pixels.
        channels: number of values of a pixel, such as 3 for red, green and blue.
        mean, std: means and standard deviations: one for each channel, or one for each pixel, channel after channel and row by row.
            Standard deviation 0 marks a constant pixel.
        range: ``[low, high]`` for all pixels.
        correlation_length: distance in pixels at which the correlation of two pixels has decayed to 1/e.
        correlation: Spearman rank correlations between the channels of a pixel, lower triangle, one row per channel.
        order: whether channels are the first dimension of the teacher's argument after the batch, or the last one. Left out: as
            its shape says; first where it says nothing.
    """

    height: Annotated[int, Field(ge=1, le=4096)]
    width: Annotated[int, Field(ge=1, le=4096)]
    channels: Annotated[int, Field(ge=1, le=4096)] = 1
    mean: list[float] | None = None
    std: list[Annotated[float, Field(ge=0)]] | None = None
    range: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    correlation_length: Annotated[float, Field(gt=0)] | None = None
    correlation: list[Any] | None = None
    order: Order | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std are given together")
        if self.values > MOST_FEATURES:
            raise ValueError(f"{self.values:,} values are more than the {MOST_FEATURES:,} features that there may be")
        if self.mean is not None and self.std is not None:
            found = len(self.mean), len(self.std)
            if found not in ((self.values,) * 2, (self.channels,) * 2):
                each = (
                    f"{self.values} pixels"
                    if self.channels == 1
                    else f"{self.channels} channels or {self.values} values"
                )
                raise ValueError(f"{each} need as many means and stds, found {found[0]} and {found[1]}")
        return self

    @property
    def values(self) -> int:
        """Number of values in an image."""
        return self.height * self.width * self.channels

    def features(self, axes: Axes) -> list[dict[str, Any]]:
        """The values as entries of ``features``, in the order of the axes."""
        items: list[dict[str, Any]] = [{} for _ in range(self.values)]
        for i, column in enumerate(axes.columns(CHANNELS, HEIGHT, WIDTH).flatten().tolist()):
            items[column - axes.start] = self._item(i)
        return items

    def _item(self, i: int) -> dict[str, Any]:
        """The entry of the i-th value, channel after channel."""
        channel, pixel = divmod(i, self.height * self.width)
        places = [*([channel] if self.channels > 1 else []), *divmod(pixel, self.width)]
        item: dict[str, Any] = {"name": "_".join(map(str, ("pixel", *places)))}
        ranged = {} if self.range is None else {"range": self.range}
        if self.mean is None or self.std is None:
            return item | ranged
        k = channel if len(self.mean) == self.channels else i
        return item | (
            {"levels": [self.mean[k]]} if self.std[k] == 0 else ranged | {"mean": self.mean[k], "std": self.std[k]}
        )


def gridded(value: Any, place: str, argument: Argument | None) -> Described:
    """The values of an argument are pixels; arguments and errors are those of ``Describe``."""
    grid: Grid = entries.entry(Grid, value, place)
    try:
        axes = grid_axes(grid.height, grid.width, grid.channels, grid.order, argument and argument.shape)
    except Unfit as error:
        raise misfit(error, place, argument, _remedy(grid, argument)) from None
    items = grid.features(axes)

    def named(names: Sequence[str]) -> list[Any]:
        """The pixels of an argument are named by its dimensions."""
        return [item | {"name": name} for item, name in zip(items, names, strict=True)] if names else items

    shape = axes.sizes if "channels" in value else (grid.height, grid.width)
    return Described(shape, named, axes, _field(grid, axes, place))


def _field(grid: Grid, axes: Axes, place: str) -> ImageField | None:
    """How pixels go together; None if nothing is said of that."""
    if grid.correlation_length is None and grid.correlation is None:
        return None
    if (pixels := grid.height * grid.width) > MOST_PIXELS:
        rule = f"{pixels:,} pixels, {MOST_PIXELS:,} at most where it is said how they go together"
        raise FeaturesError(place, rule, remedy="leave out correlation_length and correlation")
    ranks = (
        () if grid.correlation is None else triangle(grid.correlation, grid.channels, f"{place}.correlation", "channel")
    )
    return ImageField(axes, grid.correlation_length, ranks)


def _remedy(grid: Grid, argument: Argument | None) -> str:
    """The grid that would fit an argument."""
    sizes = long_sizes((argument and argument.shape) or ())
    pixels = (grid.height, grid.width)
    if sizes in (long_sizes((grid.channels, *pixels)), long_sizes((*pixels, grid.channels))):
        if grid.order is not None:
            return "leave order out"
        return f"grid: {{height: {grid.height}, width: {grid.width}, channels: {grid.channels}, order: channels_first}}, or order: channels_last"
    if len(sizes) == 2:
        return f"grid: {{height: {sizes[0]}, width: {sizes[1]}}}"
    if len(sizes) != 3:
        return "features: [...] declares the values of an argument that is no image"
    (height, width), channels = (sizes[:2], sizes[2]) if sizes[2] < sizes[0] else (sizes[1:], sizes[0])
    return f"grid: {{height: {height}, width: {width}, channels: {channels}}}"
