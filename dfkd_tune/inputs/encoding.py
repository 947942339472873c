"""The encoding of rows for a student's first layer: ordered features are standardized, nominal features one-hot.

Notation: raw rows ``x (N, D)``, standardized rows ``z (N, D)``, encoded rows ``e (N, E)``. Encoded rows hold the
ordered features, then one column per level of every nominal feature, then one column per number that may be missing: 1
where it is, with 0 in the column of its value. Without these two, ``e`` is ``z``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Annotated, Any, Final, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs.columns import Columns, columns_of
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.layouts.signature import dtype_name
from dfkd_tune.utils.quoting import named
from dfkd_tune.utils.strategy import strategy

FINEST = 3e-5
"""Largest rounding error of float32, in standard deviations of a feature, at which students take float32."""
COARSEST = 0.05
"""Largest rounding error of a teacher's input dtype, in standard deviations; a coarser dtype is refused."""
SPACED = 2
"""Smallest distance of two levels, in steps of a dtype, so that a number lies between them."""
REACH = 6.0
"""Assumed reach of an unbounded feature, in standard deviations."""
MISSING: Final = "missing"


@strategy
class Encoding:
    """The conversion of raw rows to the encoded rows that a student's first layer takes.

    Args:
        center, scale: center and scale of every feature; raw = center + scale * standardized.
        dtype: dtype of raw rows; float64 if float32 would round a feature by more than ``FINEST``.
        levels: index of a nominal feature -> its raw values, increasing; ``missing`` stands for a missing value and is
            last.
        gapped: indices of numbers that may be missing.
    """

    center: list[float]
    scale: list[Annotated[float, Field(gt=0)]]
    dtype: Literal["float32", "float64"] = "float32"
    levels: dict[int, Annotated[list[float | Literal["missing"]], Field(min_length=1)]] = Field(default_factory=dict)
    gapped: list[int] = Field(default_factory=list)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.center) != len(self.scale):
            raise ValueError(f"center and scale need as many numbers, found {len(self.center)} and {len(self.scale)}")
        for i, levels in self.levels.items():
            if not 0 <= i < len(self.center):
                raise ValueError(f"levels are of a feature {named(i)}, there are {len(self.center)}")
            if MISSING in levels[:-1]:
                raise ValueError(f"levels of feature {i} must have {MISSING} last")
            if any(a >= b for a, b in pairwise(v for v in levels if not isinstance(v, str))):
                raise ValueError(f"levels of feature {i} must rise")
        for i in self.gapped:
            if i not in self.ordered or self.gapped.count(i) > 1:
                raise ValueError(f"gapped names {named(i)}, which is no number, or is named twice")
        return self

    @property
    def width(self) -> int:
        """Number of columns E of an encoded row."""
        return len(self.ordered) + sum(map(len, self.levels.values())) + len(self.gapped)

    @property
    def plain(self) -> bool:
        """Whether encoded rows are standardized rows."""
        return not self.levels and not self.gapped

    @property
    def ordered(self) -> list[int]:
        """Indices of the features that are not nominal."""
        return [i for i in range(len(self.center)) if i not in self.levels]

    @property
    def places(self) -> list[list[int]]:
        """The encoded columns of each feature."""
        counts = {i: len(levels) for i, levels in self.levels.items()}
        places = {i: [column] for column, i in enumerate(self.ordered)}
        starts = accumulate(counts.values(), initial=len(places))
        places |= {i: [*range(start, start + counts[i])] for i, start in zip(counts, starts, strict=False)}
        for column, i in enumerate(self.gapped, start=self.width - len(self.gapped)):
            places[i].append(column)
        return [places[i] for i in range(len(self.center))]

    @property
    def folds(self) -> bool:
        """Whether the encoding can be folded into a first linear layer that takes raw float32 rows."""
        return self.plain and self.dtype == "float32"

    @property
    def torch_dtype(self) -> torch.dtype:
        """The torch dtype of raw rows."""
        return getattr(torch, self.dtype)

    def tree(self) -> dict[str, Any]:
        """The encoding as a mapping for an architecture file."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def module(self) -> Encode:
        """Return a module that maps raw rows ``(N, D)`` to encoded rows ``(N, E)``, float32."""
        return Encode(self)


class Encode(nn.Module):
    """The first layer of a student that takes raw rows; it has no parameters."""

    ordered: Tensor
    center: Tensor
    scale: Tensor
    column: Tensor
    above: Tensor
    upto: Tensor
    missing: Tensor
    gapped: Tensor
    fillable: Tensor

    def __init__(self, encoding: Encoding) -> None:
        super().__init__()
        self.encoding, self.features = encoding, len(encoding.center)
        ordered, dtype = encoding.ordered, encoding.torch_dtype

        def keep(name: str, values: Sequence[float], dtype: torch.dtype) -> None:
            self.register_buffer(name, torch.tensor(values, dtype=dtype), persistent=False)

        keep("ordered", ordered, torch.int64)
        keep("center", [encoding.center[i] for i in ordered], dtype)
        keep("scale", [encoding.scale[i] for i in ordered], dtype)
        flat = [(i, *cell) for i, levels in encoding.levels.items() for cell in _cells(levels)]
        keep("column", [i for i, *_ in flat], torch.int64)
        keep("above", [low for _, low, _, _ in flat], dtype)
        keep("upto", [high for _, _, high, _ in flat], dtype)
        keep("missing", [missing for *_, missing in flat], torch.bool)
        keep("gapped", encoding.gapped, torch.int64)
        keep("fillable", [i in encoding.gapped for i in ordered], torch.bool)
        self.any_missing = any(missing for *_, missing in flat)

    def forward(self, x: Tensor) -> Tensor:
        if self.encoding.plain:
            return ((x - self.center) / self.scale).float()
        e = ((x.index_select(1, self.ordered) - self.center) / self.scale).float()
        parts = [e]
        if self.encoding.levels:
            level = x.index_select(1, self.column)
            hot = (level > self.above) & (level <= self.upto)
            if self.any_missing:
                hot = hot | (level.isnan() & self.missing)
            parts.append(hot.float())
        if self.encoding.gapped:
            parts[0] = e.masked_fill(e.isnan() & self.fillable, 0.0)
            parts.append(x.index_select(1, self.gapped).isnan().float())
        return torch.cat(parts, dim=1)


def _cells(levels: Sequence[float | Literal["missing"]]) -> list[tuple[float, float, bool]]:
    """Per level ``(above, up to, is missing)``: the interval of raw values nearest to it."""
    numbers = [v for v in levels if not isinstance(v, str)]
    middles = [(a + b) / 2 for a, b in pairwise(numbers)]
    cells = [(low, high, False) for low, high in zip([-math.inf, *middles], [*middles, math.inf], strict=True)]
    cells = cells if numbers else []
    return cells + [(math.inf, -math.inf, True)] * (MISSING in levels)


@dataclass(frozen=True)
class Encoder:
    """The encoding of standardized rows in training.

    Args:
        inputs: the declared inputs.
        encoding: the encoding of raw rows.
    """

    inputs: Inputs
    encoding: Encoding

    @cached_property
    def columns(self) -> Columns:
        """How the encoded columns of a row are arranged."""
        return columns_of(self.inputs, self.encoding.places, self.encoding.width)

    @cached_property
    def _edges(self) -> tuple[Tensor, Tensor, Tensor]:
        """Per level: its column, and the ends of the interval of standardized values nearest to it."""
        columns, above, upto = [], [], []
        for i in self.encoding.levels:
            codes = self.inputs.features[i].values
            middles, end = (codes[1:] + codes[:-1]) / 2, codes.new_tensor([torch.inf])
            columns += [i] * len(codes)
            above.append(torch.cat([-end, middles]))
            upto.append(torch.cat([middles, end]))
        return torch.tensor(columns), torch.cat(above), torch.cat(upto)

    def rows(self, z: Tensor) -> Tensor:
        """Encode standardized rows ``(..., D)`` as ``(..., E)``; differentiable in the ordered features."""
        encoding = self.encoding
        if encoding.plain:
            return z
        parts = [self.inputs.present(z)[..., encoding.ordered]]
        if encoding.levels:
            columns, above, upto = (part.to(z.device) for part in self._edges)
            level = z[..., columns]
            parts.append(((level > above.to(z)) & (level <= upto.to(z))).to(z))
        if encoding.gapped:
            parts.append(z[..., encoding.gapped].isnan().to(z))
        return torch.cat(parts, dim=-1)

    def gradients(self, gradients: Tensor) -> Tensor:
        """Convert gradients for standardized rows ``(..., D)`` to encoded rows ``(..., E)``; 0 for columns of 0 and 1."""
        if self.encoding.plain:
            return gradients
        rest = gradients.new_zeros(*gradients.shape[:-1], self.encoding.width - len(self.encoding.ordered))
        return torch.cat([gradients[..., self.encoding.ordered], rest], dim=-1)

    def back(self, gradients: Tensor, z: Tensor) -> Tensor:
        """Convert gradients for encoded rows ``(..., E)`` to standardized rows ``z (..., D)``; 0 for nominal features, and
        for missing values."""
        if self.encoding.plain:
            return gradients
        found = gradients.new_zeros(*gradients.shape[:-1], len(self.inputs))
        found[..., self.encoding.ordered] = gradients[..., : len(self.encoding.ordered)]
        return found.masked_fill_(z.isnan(), 0.0) if self.encoding.gapped else found

    def first_layer(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Convert a layer ``(H, D)``, ``(H,)`` on raw rows to one ``(H, E)``, ``(H,)`` on encoded rows, float64."""
        ordered, inputs = self.encoding.ordered, self.inputs
        parts = [weight[:, ordered] * inputs.scale[ordered]]
        for i in self.encoding.levels:
            table = torch.tensor(inputs.features[i].table, dtype=torch.float64).nan_to_num(0.0)
            parts.append(weight[:, i, None] * table)
        parts.append(weight.new_zeros(len(weight), len(self.encoding.gapped)))
        return torch.cat(parts, dim=1), bias + weight[:, ordered] @ inputs.center[ordered]


def encoder(inputs: Inputs) -> Encoder:
    """Build the encoding that students of these inputs use."""
    levels: dict[int, list[float | Literal["missing"]]] = {
        i: [MISSING if math.isnan(value) else value for value in inputs.features[i].table] for i in inputs.nominal
    }
    dtype = "float32" if all(resolved(inputs, torch.float32, FINEST)) else "float64"
    return Encoder(inputs, Encoding(inputs.center.tolist(), inputs.scale.tolist(), dtype, levels, inputs.gapped))


def resolved(inputs: Inputs, dtype: torch.dtype, finest: float) -> list[bool]:
    """Per feature: whether a dtype rounds it by at most ``finest`` standard deviations and keeps levels distinct."""
    return [rounding(inputs, i, dtype) <= finest for i in range(len(inputs))]


def rounding(inputs: Inputs, i: int, dtype: torch.dtype) -> float:
    """Rounding error of a dtype for feature ``i``, in standard deviations; infinite if levels or whole numbers become equal."""
    feature, scale, info = inputs.features[i], float(inputs.scale[i]), torch.finfo(dtype)
    if feature.levels is not None:
        table = torch.tensor([v for v in feature.table if not math.isnan(v)], dtype=torch.float64)
        if not len(table):
            return 0.0
        apart = SPACED * info.eps * torch.maximum(table[1:].abs(), table[:-1].abs())
        if not bool(table.to(dtype).isfinite().all()) or bool((table.diff() < apart).any()):
            return math.inf
        return 0.0 if feature.one_hot else spacing(float(table.abs().max()), dtype) / 2 / scale
    largest = _largest(feature, scale)
    if largest > info.max or scale < info.tiny / info.eps or _skips(feature, largest, dtype):
        return math.inf
    return spacing(largest, dtype) / 2 / scale


def spacing(value: float, dtype: torch.dtype) -> float:
    """Distance from the magnitude of a number to the next larger number of a floating-point dtype, as ``numpy.spacing``."""
    info, (_, exponent) = torch.finfo(dtype), math.frexp(value)
    return max(info.eps * 2.0 ** (exponent - 1), info.smallest_normal * info.eps) if value else info.tiny * info.eps


def _largest(feature: Feature, scale: float) -> float:
    """The largest magnitude of a feature without levels; of an unbounded one, within ``REACH``."""
    far = [abs(edge) for edge in feature.support if math.isfinite(edge)]
    return max(far) if len(far) == 2 else max([*far, abs(feature.center) + REACH * scale])


def _skips(feature: Feature, largest: float, dtype: torch.dtype) -> bool:
    """Whether a dtype lacks some of the whole numbers up to ``largest`` of a feature that has no others."""
    return feature.integer and largest > 2 / torch.finfo(dtype).eps


def require_resolution(dtype: torch.dtype, inputs: Inputs) -> None:
    """Check that the dtype of a teacher's inputs resolves the values of every feature.

    Raises:
        FeaturesError: the dtype is too coarse for a feature.
    """
    narrow = {} if inputs.layout is None else inputs.layout.narrow
    for i, feature in enumerate(inputs.features):
        own = narrow.get(i, dtype)
        coarse = rounding(inputs, i, own)
        if coarse > COARSEST:
            name, largest = dtype_name(own), _largest(feature, float(inputs.scale[i]))
            what, remedy = "cannot distinguish its values", ""
            if math.isfinite(coarse):
                what = f"rounds it by {coarse:.2g} of its standard deviation"
            elif feature.levels is None and _skips(feature, largest, own):
                what = f"lacks some of its whole numbers: steps are {spacing(largest, own):g} at {largest:.10g}"
                remedy = "leave integer out, as the teacher gets no other numbers, "
            rule = f"the teacher takes {name}, which {what}"
            remedy += "export the teacher with float64 inputs (a function sets an attribute dtype), or shift the feature's origin in both teacher and features file"
            raise FeaturesError(f"feature {feature.name!r}", rule, remedy=remedy)
