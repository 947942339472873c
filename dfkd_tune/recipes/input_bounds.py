"""Input bounds: how far a synthetic input may travel from the prior row at which it started.

Notation: ``x`` and its starting point ``origin``, ``(k, G, D)`` in standardized units; stacked hyper-parameters ``h`` as
``(k, 1, 1)``; the ``Geometry`` of the inputs.
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
"""Relative distance from an edge at which a row counts as held by it."""


@strategy
class Steps(InputBound):
    """The paper's input bound: nothing but the number and size of the ascent steps and their decay."""

    @staticmethod
    def contain(h: Stacked, x: Tensor, origin: Tensor, geometry: Geometry) -> Tensor:
        return x

    @staticmethod
    def active(h: Stacked, x: Tensor, origin: Tensor, geometry: Geometry) -> Tensor:
        return torch.zeros(x.shape[:-1], dtype=torch.bool, device=x.device)


@strategy
class Linf(InputBound):
    """Keep every coordinate within ``radius`` of where it was drawn: ``origin + clip(x - origin, -radius, radius)``.

    Args:
        radius: in standard deviations of the feature. Two cold RMSprop steps of 0.1 travel about 1.7.
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
    """Keep a row within ``radius * sqrt(D)`` of where it was drawn, in Euclidean distance.

    Args:
        radius: root mean square travel of its coordinates, in standard deviations of the feature.
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
    """Keep inputs within the declared ranges, and within ``reach`` where none is declared.

    Args:
        reach: from the center, in standard deviations of the feature.
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
    """Keep inputs plausible together: within a Mahalanobis distance of ``radius * sqrt(D)`` from the center.

    Args:
        radius: a prior row has about 1.
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
