"""What may be said about the inputs, and the prior drawn from it.

The distillation works in standardized units ``z = (x - center) / scale``, shape ``(N, D)``; the teacher and the exported
student take the user's raw ``x``. Where nothing is said of a feature, raw and standardized units are the same.

Tiers of knowledge: T0 nothing; T2 means, standard deviations, ranges or levels of features.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, model_validator
from torch import Tensor

from . import yamls
from .errors import FeaturesError
from .strategy import build, strategy

SQRT12 = math.sqrt(12.0)


@strategy
class Feature:
    """One input of the teacher, and what is known of it, in raw units.

    Args:
        name: as the user calls it.
        mean, std: given together.
        range: ``[low, high]``, never left by a synthetic input.
        levels: the only values that occur.
        probabilities: of the levels; equal when left out.
    """

    name: Annotated[str, Field(min_length=1)]
    mean: float | None = None
    std: Annotated[float, Field(gt=0)] | None = None
    range: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    levels: Annotated[list[float], Field(min_length=1)] | None = None
    probabilities: list[Annotated[float, Field(ge=0)]] | None = None

    @model_validator(mode="after")
    def _consistent(self):
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std are given together")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range must have low < high, found {self.range}")
        if self.range is not None and self.levels is not None:
            raise ValueError("range and levels exclude each other")
        if self.range is not None and self.mean is not None and not self.range[0] <= self.mean <= self.range[1]:
            raise ValueError(f"mean {self.mean} lies outside range {self.range}")
        if self.levels is not None and len(set(self.levels)) != len(self.levels):
            raise ValueError("levels must differ from each other")
        if self.probabilities is not None:
            if self.levels is None or len(self.probabilities) != len(self.levels):
                raise ValueError("probabilities need as many levels")
            if abs(sum(self.probabilities) - 1.0) > 1e-3:
                raise ValueError(f"probabilities must sum to 1, found {sum(self.probabilities):g}")
        return self

    @property
    def known(self) -> bool:
        return not (self.mean is None and self.range is None and self.levels is None)

    @property
    def weights(self) -> list[float]:
        given = self.probabilities or [1.0] * len(self.levels)
        return [p / sum(given) for p in given]

    @property
    def center(self) -> float:
        if self.mean is not None:
            return self.mean
        if self.range is not None:
            return sum(self.range) / 2
        if self.levels is not None:
            return sum(p * v for p, v in zip(self.weights, self.levels, strict=True))
        return 0.0

    @property
    def scale(self) -> float:
        if self.std is not None:
            return self.std
        if self.range is not None:
            return (self.range[1] - self.range[0]) / SQRT12
        if self.levels is not None:
            spread = sum(p * (v - self.center) ** 2 for p, v in zip(self.weights, self.levels, strict=True))
            return math.sqrt(spread) or 1.0
        return 1.0

    def quantile(self, u: Tensor) -> Tensor:
        """Inverse of the declared distribution function, from ``u`` in (0, 1) to standardized units, any shape."""
        if self.levels is not None:
            values = (u.new_tensor(self.levels) - self.center) / self.scale
            steps = u.new_tensor(self.weights).cumsum(0)[:-1]
            return values[torch.bucketize(u, steps)]
        if self.range is not None and self.mean is None:
            return (u - 0.5) * SQRT12
        if self.range is not None:  # a normal distribution cut to the range
            low, high = (torch.special.ndtr(u.new_tensor((edge - self.center) / self.scale)) for edge in self.range)
            return torch.special.ndtri(low + u * (high - low))
        return torch.special.ndtri(u)


class Inputs:
    """The features of a teacher in order, the prior they declare, and the set that synthetic inputs must stay in."""

    def __init__(self, features: Sequence[Feature]):
        self.features = tuple(features)
        self.center = torch.tensor([f.center for f in features], dtype=torch.float64)
        self.scale = torch.tensor([f.scale for f in features], dtype=torch.float64)
        self._ranges = [(i, f.range) for i, f in enumerate(features) if f.range is not None]
        self._levels = [(i, f.levels) for i, f in enumerate(features) if f.levels is not None]

    @classmethod
    def unknown(cls, width: int) -> Inputs:
        """``width`` features of which nothing is known: N(0, I) over standardized units."""
        return cls([Feature(name=f"x{i}") for i in range(width)])

    def __len__(self) -> int:
        return len(self.features)

    @property
    def names(self) -> list[str]:
        return [feature.name for feature in self.features]

    @property
    def tier(self) -> str:
        """The metadata tier that stands beside every result."""
        return "T2" if any(feature.known for feature in self.features) else "T0"

    def fingerprint(self) -> str:
        """SHA-256 of everything that is declared."""
        declared = [{k: v for k, v in vars(f).items() if not k.startswith("_")} for f in self.features]
        return hashlib.sha256(json.dumps(declared, sort_keys=True).encode()).hexdigest()

    def quantile(self, u: Tensor) -> Tensor:
        """Push points of the unit cube ``(N, D)`` through the prior, to standardized units of the same shape."""
        tiny = torch.finfo(torch.float32).eps / 4
        u = u.clamp(tiny, 1 - tiny)
        return torch.stack([feature.quantile(u[:, i]) for i, feature in enumerate(self.features)], dim=1)

    def draw(self, rows: int, rng: torch.Generator) -> Tensor:
        """Draw ``(rows, D)`` float64 points of the declared prior, in standardized units."""
        return self.quantile(torch.rand(rows, len(self), generator=rng, dtype=torch.float64))

    def project(self, z: Tensor) -> Tensor:
        """Bring standardized points ``(..., D)`` back into the declared ranges and onto the declared levels."""
        if not self._ranges and not self._levels:
            return z
        z = z.clone()
        for i, (low, high) in self._ranges:
            z[..., i].clamp_(
                float((low - self.center[i]) / self.scale[i]), float((high - self.center[i]) / self.scale[i])
            )
        for i, levels in self._levels:
            values = (z.new_tensor(sorted(levels)) - float(self.center[i])) / float(self.scale[i])
            middles = (values[1:] + values[:-1]) / 2
            z[..., i] = values[torch.bucketize(z[..., i].contiguous(), middles)]
        return z


def read_features(path: Path) -> Inputs:
    """Read a features file: ``features:`` followed by names, or by mappings with a name and what is known.

    Raises:
        FeaturesError: naming the feature and the rule it breaks.
    """
    tree = yamls.read(path, FeaturesError)
    if not isinstance(tree, dict) or set(tree) != {"features"} or not isinstance(tree["features"], list):
        raise FeaturesError(path, "must hold one key, features, with a list", remedy="features: [{name: age}, ...]")
    if not tree["features"]:
        raise FeaturesError(path, "features: must name at least one feature")
    features = [_feature(item, f"{path}: features[{i}]") for i, item in enumerate(tree["features"])]
    names = [feature.name for feature in features]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise FeaturesError(f"{path}: features[{i}].name", f"{name!r} is given twice")
    return Inputs(features)


def _feature(item: Any, place: str) -> Feature:
    if isinstance(item, str):
        item = {"name": item}
    if not isinstance(item, dict):
        raise FeaturesError(place, f"must be a name or a mapping, got {item!r}")
    for key in ("range", "levels", "probabilities"):
        if isinstance(item.get(key), list):
            item = item | {key: [float(v) if type(v) is int else v for v in item[key]]}
    try:
        return build(Feature, item, place)
    except Exception as error:
        if hasattr(error, "rule"):
            raise FeaturesError(error.place, error.rule, remedy=error.remedy) from None
        raise
