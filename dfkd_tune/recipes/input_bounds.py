"""Input bounds: how far a synthetic row may move from its prior row.

Notation: rows ``x`` and their prior rows ``origin``, ``(k, G, D)`` in standardized units; ``h`` are stacked hyper-parameters.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from dfkd_tune.inputs.geometry import Geometry
from dfkd_tune.recipes.base import InputBound
from dfkd_tune.utils.plugins import Registry
from dfkd_tune.utils.strategy import Stacked, strategy

Positive = Annotated[float, Field(gt=0)]
TOUCH = 1e-4
"""Relative distance to the edge of the bound below which the bound counts as active."""


@strategy
class Steps(InputBound):
    """No bound beyond the number, size and decay of the ascent steps, as in the paper."""

    @staticmethod
    def contain(h: Stacked, x: Tensor, origin: Tensor, geometry: Geometry) -> Tensor:
        return x

    @staticmethod
    def active(h: Stacked, x: Tensor, origin: Tensor, geometry: Geometry) -> Tensor:
        return torch.zeros(x.shape[:-1], dtype=torch.bool, device=x.device)


@strategy
class Linf(InputBound):
    """Keep every coordinate within ``radius`` of its prior row: ``origin + clip(x - origin, -radius, radius)``.

    Args:
        radius: distance in standard deviations of the feature. For comparison, two RMSprop steps of 0.1 move about 1.7.
    """

    radius: Positive = 1.0

    @staticmethod
    def contain(h: Stacked, x: Tensor, origin: Tensor, geometry: Geometry) -> Tensor:
        return torch.clamp(x, origin - h.radius, origin + h.radius)

    @staticmethod
    def active(h: Stacked, x: Tensor, origin: Tensor, geometry: Geometry) -> Tensor:
        return ((x - origin).abs() >= h.radius * (1 - TOUCH)).any(-1)


@strategy
class L2(InputBound):
    """Keep a row within a Euclidean distance of ``radius * sqrt(D)`` from its prior row.

    Args:
        radius: largest root mean square move of the coordinates, in standard deviations of the features.
    """

    radius: Positive = 1.0

    @staticmethod
    def contain(h: Stacked, x: Tensor, origin: Tensor, geometry: Geometry) -> Tensor:
        travel = x - origin
        return origin + travel * _shrink(travel.norm(dim=-1, keepdim=True), h.radius * math.sqrt(x.shape[-1]))

    @staticmethod
    def active(h: Stacked, x: Tensor, origin: Tensor, geometry: Geometry) -> Tensor:
        reach = (h.radius * math.sqrt(x.shape[-1])).squeeze(-1)
        return (x - origin).norm(dim=-1) >= reach * (1 - TOUCH)


@strategy
class Box(InputBound):
    """Keep every feature within its declared range, or within ``reach`` of the center if none is declared.

    Args:
        reach: distance from the center, in standard deviations of the feature.
    """

    reach: Positive = 3.0

    @staticmethod
    def contain(h: Stacked, x: Tensor, origin: Tensor, geometry: Geometry) -> Tensor:
        return torch.clamp(x, torch.maximum(-h.reach, geometry.low), torch.minimum(h.reach, geometry.high))

    @staticmethod
    def active(h: Stacked, x: Tensor, origin: Tensor, geometry: Geometry) -> Tensor:
        low, high = torch.maximum(-h.reach, geometry.low), torch.minimum(h.reach, geometry.high)
        return ((x <= low + TOUCH) | (x >= high - TOUCH)).any(-1)


@strategy
class Mahalanobis(InputBound):
    """Keep a row within a Mahalanobis distance of ``radius * sqrt(D)`` from the center, so that its features fit together.

    Args:
        radius: distance in units of a typical prior row's distance.
    """

    radius: Positive = 1.5

    @staticmethod
    def contain(h: Stacked, x: Tensor, origin: Tensor, geometry: Geometry) -> Tensor:
        return x * _shrink(_distance(x, geometry), h.radius * math.sqrt(x.shape[-1]))

    @staticmethod
    def active(h: Stacked, x: Tensor, origin: Tensor, geometry: Geometry) -> Tensor:
        return (_distance(x, geometry) >= h.radius * math.sqrt(x.shape[-1]) * (1 - TOUCH)).squeeze(-1)


def _shrink(distance: Tensor, reach: Tensor) -> Tensor:
    return (reach / distance.clamp(min=torch.finfo(distance.dtype).tiny)).clamp(max=1.0)


def _distance(x: Tensor, geometry: Geometry) -> Tensor:
    return ((x @ geometry.precision) * x).sum(-1, keepdim=True).clamp(min=0).sqrt()


INPUT_BOUNDS: Registry[type[InputBound]] = Registry(
    "input_bounds", InputBound, {"steps": Steps, "linf": Linf, "l2": L2, "box": Box, "mahalanobis": Mahalanobis}
)
