"""The inputs of a teacher: the prior drawn from what is declared of them or its teacher recollects, and the set that synthetic inputs must stay in.

The distillation works in standardized units ``z = (x - center) / scale``, shape ``(N, D)``; the teacher and the exported
student take the user's raw ``x``. Where nothing is said of a feature, raw and standardized units are the same.

Tiers of knowledge, after the highest kind that is declared: T0 nothing; T2 means, standard deviations, ranges or levels of any
feature, or a simplex; T3 quantiles of any feature; T4 rank correlations. T1, the target's distribution alone, is not taken: a
teacher tells it for any inputs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .copula import CELLS, factor
from .feature import Feature
from .sinh_arcsinh import SinhArcsinh


@dataclass(frozen=True)
class Recollected:
    """What stands in where nobody declared the shape of a feature.

    Args:
        told: what the teacher tells and by what, in words.
        declared: the inputs without it.
        shape: of standardized features; None where quantiles and rank correlations say it.
    """

    told: str
    declared: Inputs
    shape: SinhArcsinh | None = None


class Inputs:
    """The features of a teacher in order.

    Args:
        features: what is declared of each.
        simplex: indices of features that are shares of a whole: none negative, summing to 1.
        rank_correlation: Spearman's, the lower triangle with its diagonal, of the features before the simplex divides them.
        recollected: what of this nobody declared, but the teacher tells.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        simplex: Sequence[int] = (),
        rank_correlation: Sequence[Sequence[float]] | None = None,
        recollected: Recollected | None = None,
    ):
        self.features, self.simplex = tuple(features), tuple(simplex)
        self.rank_correlation = rank_correlation and tuple(tuple(map(float, row)) for row in rank_correlation)
        self.center = torch.tensor([f.center for f in features], dtype=torch.float64)
        self.scale = torch.tensor([f.scale for f in features], dtype=torch.float64)
        self._levels = [(i, f.values) for i, f in enumerate(features) if f.levels is not None]
        self._whole = [i for i, f in enumerate(features) if f.integer]
        edges = [(0.0, 1.0) if i in self.simplex and f.levels is None else f.support for i, f in enumerate(features)]
        low, high = torch.tensor(edges, dtype=torch.float64).T
        self.low, self.high = (low - self.center) / self.scale, (high - self.center) / self.scale
        self._free = not (self._levels or self._whole or self.simplex or bool((self.low.isfinite()).any()))
        self._boxed = self.low.isfinite() & torch.tensor([f.quantiles is None for f in features])
        self._factor = None
        if self.rank_correlation is not None:
            cells = (torch.arange(CELLS, dtype=torch.float64) + 0.5) / CELLS
            self._factor = factor(
                self.rank_correlation, Inputs(features).quantile(cells[:, None].expand(-1, len(self)))
            )
        self.recollected = recollected
        self._cast: dict[tuple, tuple[Tensor, ...]] = {}

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
    def open_ended(self) -> Tensor:
        """Which features ``(D,)`` may have values however far out: neither range nor levels nor quantiles are declared."""
        return self.low.isinf() & self.high.isinf()

    @property
    def shapeless(self) -> Tensor:
        """Which features ``(D,)`` are open-ended and of a shape that nothing tells, not even the teacher."""
        return self.open_ended & (self.recollected is None or self.recollected.shape is None)

    @property
    def tier(self) -> str:
        """The metadata tier that stands beside every result, of what is declared."""
        if self.recollected is not None:
            return self.recollected.declared.tier
        if self.rank_correlation is not None:
            return "T4"
        if any(feature.quantiles is not None for feature in self.features):
            return "T3"
        return "T2" if self.simplex or any(feature.known for feature in self.features) else "T0"

    def fingerprint(self) -> str:
        """SHA-256 of everything that is declared."""
        return hashlib.sha256(json.dumps(self._declared(), sort_keys=True).encode()).hexdigest()

    def _declared(self) -> list:
        if self.recollected is not None:
            return [*self.recollected.declared._declared(), "recollected"]  # the teacher's own hash says what
        # Only what is declared of quantiles and correlations counts, so that a study outlives the day they could not be.
        declared = [
            {k: v for k, v in vars(f).items() if not k.startswith("_") and (k != "quantiles" or v is not None)}
            for f in self.features
        ]
        return [declared, self.simplex, *([] if self.rank_correlation is None else [self.rank_correlation])]

    def quantile(self, u: Tensor) -> Tensor:
        """Push points of the unit cube ``(N, D)`` through the prior, to standardized units of the same shape."""
        tiny = torch.finfo(torch.float32).eps / 2  # the least that float32 can take from 1
        u = u.clamp(tiny, 1 - tiny)
        if self.recollected is not None and self.recollected.shape is not None:
            scores = torch.special.ndtri(u.double())
            return self.project(self.recollected.shape.on(u.device).push(scores).to(u))
        if self._factor is not None:
            scores = torch.special.ndtri(u.double()) @ self._factor.T.to(u.device)
            u = torch.special.ndtr(scores).clamp(tiny, 1 - tiny).to(u)
        return self.project(torch.stack([f.quantile(u[:, i]) for i, f in enumerate(self.features)], dim=1))

    def draw(self, rows: int, rng: torch.Generator) -> Tensor:
        """Draw ``(rows, D)`` float64 points of the declared prior, in standardized units."""
        return self.quantile(torch.rand(rows, len(self), generator=rng, dtype=torch.float64))

    def spread(self, u: Tensor, reach: float) -> Tensor:
        """Spread points of the unit cube ``(N, D)`` over the declared ranges, over ``+-reach`` where there is none.

        The ends of declared quantiles bound a tail, not a box: nearly all of a heavy tail's box is empty, so they are held
        within the reach as well.
        """
        low = torch.where(self._boxed, self.low, self.low.clamp(min=-reach)).to(u)
        high = torch.where(self._boxed, self.high, self.high.clamp(max=reach)).to(u)
        return self.project(low + u * (high - low))

    def project(self, z: Tensor) -> Tensor:
        """Bring standardized points ``(..., D)`` back into ranges and simplex, onto levels and whole numbers."""
        if self._free:
            return z
        low, high, center, scale = self._tensors(z)
        z = torch.clamp(z, low, high)
        if self._whole:
            raw = (z[..., self._whole] * scale[self._whole] + center[self._whole]).round()
            z[..., self._whole] = (raw - center[self._whole]) / scale[self._whole]
        if self.simplex:
            part = list(self.simplex)
            raw = z[..., part] * scale[part] + center[part]
            total = raw.sum(-1, keepdim=True)
            raw = torch.where(total > 0, raw / total.clamp(min=1e-12), 1.0 / len(part))
            z[..., part] = (raw - center[part]) / scale[part]
        for i, levels in self._levels:
            values, middles = levels.to(z), ((levels[1:] + levels[:-1]) / 2).to(z)
            z[..., i] = values[torch.bucketize(z[..., i].contiguous(), middles)]
        return z

    def raw(self, z: Tensor) -> Tensor:
        """Standardized rows ``(..., D)`` in raw units, float64 on the CPU."""
        return z.cpu().double() * self.scale + self.center

    def standardized(self, x: Tensor) -> Tensor:
        """Raw rows ``(..., D)`` in standard units, float64 on the CPU."""
        return (x.cpu().double() - self.center) / self.scale

    def _tensors(self, like: Tensor) -> tuple[Tensor, ...]:
        key = (like.dtype, like.device)
        if key not in self._cast:
            self._cast[key] = tuple(t.to(like) for t in (self.low, self.high, self.center, self.scale))
        return self._cast[key]
