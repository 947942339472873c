"""Raw rows that match the declaration exactly, in the units and the dtype that a teacher or a student takes.

Standardized rows are rounded, and so is ``center + scale * z``: a level becomes 0.99999994. Rows are therefore
projected onto levels, whole numbers, ranges and the simplex after the conversion to raw units, in the target dtype.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dfkd_tune.inputs.feature import Feature

LEAST_SHARE = 1e-9
"""Floor for a share before scaling, so that a range can raise a share of 0."""


@dataclass(frozen=True)
class Leveled:
    """A feature with levels.

    Args:
        column: index of the feature.
        codes: ``(L,)`` standardized codes of the levels, increasing.
        middles: ``(L - 1,)`` midpoints between neighboring codes.
        table: ``(L,)`` raw values of the levels; a missing value is NaN.
    """

    column: int
    codes: Tensor
    middles: Tensor
    table: Tensor

    def index(self, z: Tensor) -> Tensor:
        """Index of the level nearest to each standardized value, in the shape of ``z``."""
        return torch.bucketize(z.contiguous(), self.middles)


@dataclass(frozen=True)
class Exact:
    """The constraints on raw rows, in one dtype on one device.

    Args:
        center, scale: ``(D,)`` tensors; raw = center + scale * standardized.
        low, high: ``(D,)`` smallest and largest number of this dtype within the ranges.
        whole: columns of whole numbers.
        leveled: the features with levels.
        simplex: columns that are shares of a whole.
        bounds: ``center, scale, low, high`` in float64.
        narrow: dtype -> columns whose values have fewer digits than rows.
    """

    center: Tensor
    scale: Tensor
    low: Tensor
    high: Tensor
    whole: list[int]
    leveled: list[Leveled]
    simplex: list[int]
    bounds: tuple[Tensor, Tensor, Tensor, Tensor]
    narrow: dict[torch.dtype, list[int]]

    def rows(self, z: Tensor) -> Tensor:
        """Convert standardized rows ``(..., D)`` to raw rows of the same shape."""
        center, scale, low, high = self.bounds
        x = torch.addcmul(self.center, z.to(self.center.dtype), self.scale)
        part = self.whole
        if part:
            whole = (center[part] + z[..., part].double() * scale[part]).round()
            x[..., part] = torch.clamp(whole, low[part], high[part]).to(x.dtype)
        part = self.simplex
        if part:
            raw = center[part] + z[..., part].double() * scale[part]
            x[..., part] = shares(raw, low[part], high[part]).to(x.dtype)
        for each in self.leveled:
            x[..., each.column] = each.table[each.index(z[..., each.column])]
        for dtype, part in self.narrow.items():
            x[..., part] = x[..., part].to(dtype).to(x.dtype)
        return torch.clamp(x, self.low, self.high)


def exact(
    features: Sequence[Feature],
    simplex: Sequence[int],
    units: tuple[Tensor, Tensor],
    edges: Tensor,
    dtype: torch.dtype,
    device: torch.device,
    narrow: Mapping[int, torch.dtype],
) -> Exact:
    """Build the constraints on raw rows of these features in a dtype on a device.

    Args:
        features: declarations in the order of the columns.
        simplex: columns that are shares of a whole.
        units: centers and scales ``(D,)``, float64.
        edges: ``(D, 2)`` ends of the supports in raw units, float64; infinite for an unbounded feature.
        dtype, device: dtype and device of the raw rows.
        narrow: column -> dtype of its values, where that has fewer digits than ``dtype``.
    """
    center, scale = units
    low, high = edges[:, 0], edges[:, 1]
    columns = {short: [i for i, each in narrow.items() if each == short] for short in set(narrow.values())}
    free = torch.tensor([f.levels is None for f in features])
    bounds = (center.to(device), scale.to(device), low.to(device), high.to(device))
    return Exact(
        center.to(device, dtype),
        scale.to(device, dtype),
        torch.where(free, _inward(low, dtype, columns, up=True), -torch.inf).to(device, dtype),
        torch.where(free, _inward(high, dtype, columns, up=False), torch.inf).to(device, dtype),
        [i for i, f in enumerate(features) if f.integer and f.levels is None],
        [_leveled(i, f, dtype, device) for i, f in enumerate(features) if f.levels is not None],
        list(simplex),
        bounds,
        columns,
    )


def shares(raw: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Scale ``raw`` to shares of a whole ``(..., S)``: non-negative, each within its range, with sum 1.

    Args:
        raw: ``(..., S)`` numbers, float64; negative ones count as 0.
        low, high: ``(S,)`` ranges that allow a sum of 1.
    """
    raw = raw.clamp(0, 1e150)
    total = raw.sum(-1, keepdim=True)
    plain = torch.where(total > 0, raw / total.clamp(min=1e-300), 1.0 / raw.shape[-1])
    if bool(((low <= 0) & (high >= 1)).all()):
        return plain
    # The sum of all shares is piecewise linear in their common factor, with a bend where a share reaches its range.
    base = plain.clamp(min=LEAST_SHARE)
    factors = torch.cat([low / base, high / base], dim=-1).sort(-1).values
    sums = torch.clamp(base[..., None, :] * factors[..., None], low, high).sum(-1)
    right = torch.searchsorted(sums, torch.ones_like(total)).clamp(1, factors.shape[-1] - 1)
    least, most = factors.gather(-1, right - 1), factors.gather(-1, right)
    below, above = sums.gather(-1, right - 1), sums.gather(-1, right)
    share = ((1 - below) / (above - below)).nan_to_num(0.0).clamp(0, 1)
    return torch.clamp(base * (least + share * (most - least)), low, high)


def _leveled(column: int, feature: Feature, dtype: torch.dtype, device: torch.device) -> Leveled:
    codes = feature.values.to(device)
    table = torch.tensor(feature.table, dtype=torch.float64).to(device, dtype)
    return Leveled(column, codes, (codes[1:] + codes[:-1]) / 2, table)


def _inward(edges: Tensor, dtype: torch.dtype, narrow: Mapping[torch.dtype, list[int]], up: bool) -> Tensor:
    """Round edges ``(D,)`` to numbers of their columns' dtypes without leaving the range; returned as float64."""
    found = _rounded_inward(edges, dtype, up)
    for short, columns in narrow.items():
        found[columns] = _rounded_inward(edges[columns], short, up)
    return found


def _rounded_inward(edges: Tensor, dtype: torch.dtype, up: bool) -> Tensor:
    rounded = edges.to(dtype)
    towards = torch.full_like(rounded, torch.inf if up else -torch.inf)
    beyond = rounded.double() < edges if up else rounded.double() > edges
    return torch.where(beyond & edges.isfinite(), torch.nextafter(rounded, towards), rounded).double()
