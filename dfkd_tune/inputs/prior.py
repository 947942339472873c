"""The inputs of a teacher: the prior over them, declared or inferred, and the set that synthetic inputs must stay in.

Distillation works in standardized units ``z = (x - center) / scale``, shape ``(N, D)``. The teacher and the exported
student take raw ``x``. If nothing is declared for a feature, its raw and standardized units are the same. A missing number
is NaN in both; a row that is moved keeps it.

The tier names the most detailed declaration: T0 nothing; T2 means, standard deviations, ranges or levels of any
feature, or a simplex; T3 quantiles of any feature; T4 how features go together: rank correlations, a mixture of copulas, or how
fast channels move. There is no T1, the distribution of the target alone: the teacher's outputs give it for any inputs.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from dfkd_tune.inputs.dependence.base import Dependence, Mixer
from dfkd_tune.inputs.dependence.copula import CELLS
from dfkd_tune.inputs.exact_rows import Exact, exact, shares
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.feature_words import as_table
from dfkd_tune.inputs.marginals.sinh_arcsinh import SinhArcsinh
from dfkd_tune.inputs.missing import missing_as, present
from dfkd_tune.layouts.axes import CHANNELS, STEPS, Axes
from dfkd_tune.layouts.layout import Layout


@dataclass(frozen=True)
class InferredPrior:
    """A prior inferred from the teacher, or assumed, for inputs whose distribution is not declared.

    Args:
        told: what was inferred and from which part of the teacher, or assumed, in words.
        declared: the inputs as declared.
        shape: distribution of the standardized features; None if the inputs hold inferred quantiles and rank
            correlations.
    """

    told: str
    declared: Inputs
    shape: SinhArcsinh | None = None


class Inputs:
    """The features of a teacher, in its order.

        dt.Inputs([dt.Feature("load", mean=3.0, std=1.0), dt.Feature("flow")])

    Args:
        features: declaration of each feature.
        simplex: indices of features that are shares of a whole: non-negative, with sum 1.
        dependence: how features go together before the simplex is normalized; None if they are independent.
        inferred: the part that was inferred from the teacher; None if all is declared.
        detected: indices of features that are nominal because of the teacher's outputs, not by declaration.
        layout: how the features lie in the teacher's arguments; None for a teacher that takes flat rows.
        axes: the windows and grids among the features: what the dimensions of an argument, or of flat rows, are.
        told: content of the features file that declares the inputs; None if they were made otherwise.
    """

    gapped: list[int]
    """Indices of the features without levels whose values may be missing."""

    def __init__(
        self,
        features: Sequence[Feature],
        simplex: Sequence[int] = (),
        dependence: Dependence | None = None,
        inferred: InferredPrior | None = None,
        detected: Sequence[int] = (),
        layout: Layout | None = None,
        axes: Sequence[Axes] = (),
        told: Mapping[str, Any] | None = None,
    ) -> None:
        self.features, self.simplex, self.dependence = tuple(features), tuple(simplex), dependence
        self.center, self.scale = torch.tensor([self._units(i) for i in range(len(features))], dtype=torch.float64).T
        self._edges = torch.tensor([self._support(i) for i in range(len(self.features))], dtype=torch.float64)
        self.low, self.high = ((edge - self.center) / self.scale for edge in self._edges.T)
        discrete = any(f.levels is not None or f.integer for f in features)
        self.layout, self.axes, self.told = layout, tuple(axes), told
        self._short = {} if layout is None else {i: t for i, t in layout.narrow.items() if t != torch.float32}
        self._free = not (discrete or self._short or self.simplex or bool((self.low.isfinite()).any()))
        self._shares = torch.tensor([feature.missing or 0.0 for feature in features], dtype=torch.float64)
        self.gapped = self._shares.nonzero().flatten().tolist()
        self._boxed = self.low.isfinite() & torch.tensor([f.quantiles is None for f in features])
        self.inferred, self.detected = inferred, tuple(detected)
        self._cast: dict[tuple[torch.dtype, torch.device], tuple[Tensor, Tensor]] = {}
        self._exact: dict[tuple[torch.dtype, torch.device], Exact] = {}

    @classmethod
    def unknown(cls, width: int) -> Inputs:
        """Inputs with ``width`` features and no declaration: the prior is N(0, I)."""
        return cls([Feature(name=f"x{i}") for i in range(width)])

    def __len__(self) -> int:
        return len(self.features)

    @property
    def names(self) -> list[str]:
        return [feature.name for feature in self.features]

    @property
    def open_ended(self) -> Tensor:
        """Mask ``(D,)`` of unbounded features: no range, levels or quantiles are declared."""
        return self.low.isinf() & self.high.isinf()

    @property
    def shapeless(self) -> Tensor:
        """Mask ``(D,)`` of unbounded features whose distribution is neither declared nor inferred."""
        return self.open_ended & (self.inferred is None or self.inferred.shape is None)

    @property
    def tier(self) -> str:
        """Tier of the declaration, shown beside every result; an inferred prior does not raise it."""
        if self.inferred is not None:
            return self.inferred.declared.tier
        if self.dependence is not None:
            return "T4"
        if any(feature.quantiles is not None for feature in self.features):
            return "T3"
        return "T2" if self.simplex or any(feature.known for feature in self.features) else "T0"

    def fingerprint(self) -> str:
        """SHA-256 of the declaration."""
        return hashlib.sha256(json.dumps(self._declared(), sort_keys=True).encode()).hexdigest()

    @property
    def together(self) -> list[tuple[list[str], str]]:
        """What is declared of several features at once: their names, and words."""
        shares = [self.names[i] for i in self.simplex]
        said = [(shares, "shares of a whole: none negative, together 1")] if shares else []
        return said + ([] if self.dependence is None else self.dependence.in_words(self.names))

    def _repr_html_(self) -> str:
        """The features with what is known of each, and the tier, for a notebook."""
        if self.inferred is None:
            return as_table(self.tier, self.declarations, self.together)
        known = self.inferred.declared
        return as_table(self.tier, known.declarations, [*known.together, (self.names, self.inferred.told)])

    def _declared(self) -> list[Any]:
        if self.inferred is not None:
            return [*self.inferred.declared._declared(), "inferred"]  # the teacher's hash covers what was inferred
        # Optional keys count only if they are declared: a new optional key must not change the hash of older studies.
        declared = [
            {
                k: v
                for k, v in vars(f).items()
                if not k.startswith("_")
                and k != "unit"  # it changes no row
                and (k not in ("quantiles", "nominal", "missing") or v is not None)
                and (k != "nominal" or i not in self.detected)
            }
            for i, f in enumerate(self.features)
        ]
        declared = [declared, self.simplex, *([] if self.dependence is None else [self.dependence.tree()])]
        declared += [] if self.layout is None else [self.layout.tree()["arguments"]]
        return [*declared, *(axes.tree() for axes in self.axes)]

    def quantile(self, u: Tensor) -> Tensor:
        """Transform points of the unit cube ``(N, D)`` into samples of the prior ``(N, D)``, in standardized units."""
        tiny = torch.finfo(torch.float32).eps / 2  # 1 - tiny is the largest float32 below 1
        u = u.clamp(tiny, 1 - tiny)
        shape = None if self.inferred is None else self.inferred.shape
        if self.mixings and shape is None:
            scores = torch.special.ndtri(u.double())
            for mixing in self.mixings:
                scores = mixing.of(scores)
            u = torch.special.ndtr(scores).clamp(tiny, 1 - tiny).to(u)
        u, absent = self._gaps(u)
        if shape is not None:
            z = shape.on(u.device).push(torch.special.ndtri(u.clamp(tiny, 1 - tiny).double())).to(u)
        else:
            z = torch.stack([f.quantile(u[:, i].clamp(tiny, 1 - tiny)) for i, f in enumerate(self.features)], dim=1)
        return self.project(z if absent is None else z.masked_fill(absent, torch.nan))

    def _gaps(self, u: Tensor) -> tuple[Tensor, Tensor | None]:
        """Probabilities ``(N, D)`` of the values that are there, and a mask of the missing ones; a missing value ranks last."""
        if not self.gapped:
            return u, None
        present = (1 - self._shares).to(u)
        return (u / present).clamp(max=1.0), u > present

    @cached_property
    def mixings(self) -> Sequence[Mixer]:
        """The maps of independent normal scores to those of dependent features, in their order."""
        return [] if self.dependence is None else self.dependence.mixings(self._values)

    def _values(self, columns: Sequence[int]) -> Tensor:
        """The marginal distributions of these features, as ``dependence.base.Values`` says."""
        cells = (torch.arange(CELLS, dtype=torch.float64) + 0.5) / CELLS
        alone = Inputs([self.features[i] for i in columns])
        found = alone.quantile(cells[:, None].expand(-1, len(alone)))
        return found.masked_fill(found.isnan(), torch.inf)  # missing values are one value, the last

    def draw(self, rows: int, rng: torch.Generator) -> Tensor:
        """Sample ``(rows, D)`` from the prior, float64, in standardized units."""
        return self.quantile(torch.rand(rows, len(self), generator=rng, dtype=torch.float64))

    def spread(self, u: Tensor, reach: float) -> Tensor:
        """Scale points of the unit cube ``(N, D)`` to the declared ranges, and to ``+-reach`` without a range.

        Declared quantiles are clamped to ``+-reach`` as well: almost all of the box around a heavy tail is empty.
        """
        low = torch.where(self._boxed, self.low, self.low.clamp(min=-reach)).to(u)
        high = torch.where(self._boxed, self.high, self.high.clamp(max=reach)).to(u)
        u, absent = self._gaps(u)
        z = low + u * (high - low)
        return self.project(z if absent is None else z.masked_fill(absent, torch.nan))

    def present(self, z: Tensor) -> Tensor:
        """Standardized points ``(..., D)`` with the center in place of missing numbers, for distances and covariances."""
        return present(z, self.gapped)

    def finite(self, z: Tensor) -> Tensor:
        """Standardized points ``(..., D)`` with 0 in place of NaN and infinity, except for missing numbers."""
        return missing_as(z.nan_to_num(0.0, 0.0, 0.0), z, self.gapped)

    def project(self, z: Tensor) -> Tensor:
        """Project standardized points ``(..., D)`` onto the declared ranges, simplex, levels and whole numbers."""
        if self._free:
            return z
        low, high = self._ends(z)
        known = self.known(torch.float64, z.device)
        z = torch.clamp(z, low, high)
        part = known.whole
        if part:  # in float64, as whole numbers may lie closer than the steps of float32
            raw = (z[..., part].double() * known.scale[part] + known.center[part]).round()
            raw = torch.clamp(raw, *(edge[part] for edge in known.bounds[2:]))
            z[..., part] = ((raw - known.center[part]) / known.scale[part]).to(z)
        part = known.simplex
        if part:
            raw = z[..., part].double() * known.scale[part] + known.center[part]
            found = shares(raw, *(edge[part] for edge in known.bounds[2:]))
            z[..., part] = ((found - known.center[part]) / known.scale[part]).to(z)
        for column, dtype in self._short.items():
            raw = (z[..., column].double() * known.scale[column] + known.center[column]).to(dtype).double()
            z[..., column] = ((raw - known.center[column]) / known.scale[column]).to(z)
        for each in known.leveled:
            z[..., each.column] = each.codes.to(z)[each.index(z[..., each.column].double())]
        return z

    def raw(self, z: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
        """Convert standardized rows ``(..., D)`` to raw rows that match the declaration exactly in a dtype.

        Rows stay on their device. The gradient is that of ``center + scale * z``.
        """
        if z.requires_grad and torch.is_grad_enabled():
            return _Raw.apply(z, self.known(dtype, z.device))
        return self.known(dtype, z.device).rows(z)

    def standardized(self, x: Tensor) -> Tensor:
        """Convert raw rows ``(..., D)`` to standardized rows, float64 on the CPU; a level becomes its code."""
        x = x.cpu().double()
        z = (x - self.center) / self.scale
        for each in self.known(torch.float64, x.device).leveled:
            raw = x[..., each.column, None]
            apart = torch.where(raw.isnan() & each.table.isnan(), 0.0, (raw - each.table).abs()).nan_to_num(torch.inf)
            z[..., each.column] = each.codes[apart.argmin(-1)]
        return z

    @property
    def nominal(self) -> list[int]:
        """Indices of features whose levels have no order and are encoded one-hot."""
        return [i for i, f in enumerate(self.features) if f.one_hot]

    @property
    def alike(self) -> list[list[int]]:
        """Indices of the features in groups that have one declaration: the steps of a channel, and any other by itself."""
        groups = {i: [i] for i in range(len(self))}
        for axes in self.axes:
            if axes.kind == "window":
                for channel in axes.columns(CHANNELS, STEPS).tolist():
                    # The levels that a teacher's encoder tells may differ between the steps.
                    first, *others = ({**vars(self.features[i]), "name": None} for i in channel)
                    if all(each == first for each in others):
                        groups |= {i: [] for i in channel} | {channel[0]: channel}
        return [group for group in groups.values() if group]

    @property
    def declarations(self) -> list[tuple[str, Feature]]:
        """Each feature with its name; a channel of a window once, named by its first and last step."""
        ends = [dict.fromkeys((group[0], group[-1])) for group in self.alike]
        return [(" to ".join(self.names[i] for i in pair), self.features[next(iter(pair))]) for pair in ends]

    @property
    def optional(self) -> list[int]:
        """Indices of features whose values may be missing."""
        return [i for i, f in enumerate(self.features) if f.missing or (f.levels is not None and None in f.levels)]

    def around(self, z: Tensor, i: int, delta: float) -> tuple[Tensor, Tensor]:
        """Move feature ``i`` up and down, by ``delta`` or to the next level or whole number; for finite differences.

        Args:
            z: ``(N, D)`` standardized rows that match the declaration.
            i: index of a feature that is neither nominal nor in the simplex.
            delta: step in standard deviations.

        Returns:
            The rows above and the rows below, ``(N, D)`` each.
        """
        ahead, behind = z.clone(), z.clone()
        for moved, sign in ((ahead, 1), (behind, -1)):
            moved[:, i] = self._beside(z[:, i], i, sign, delta)
        return ahead, behind

    def _beside(self, column: Tensor, i: int, sign: int, delta: float) -> Tensor:
        feature, known = self.features[i], self.known(torch.float64, column.device)
        if feature.levels is not None:
            level = next(each for each in known.leveled if each.column == i)
            at = (level.index(column.double()) + sign).clamp(0, len(level.codes) - 1)
            return level.codes[at].to(column)
        low, high = float(self.low[i]), float(self.high[i])
        step = max(1.0, round(delta * feature.scale)) / feature.scale if feature.integer else delta
        return torch.clamp(column + sign * step, low, high)

    def unordered(self, columns: Sequence[int]) -> Inputs:
        """Return the same inputs with these features nominal."""
        if not columns:
            return self
        features = [replace(f, nominal=True) if i in columns else f for i, f in enumerate(self.features)]
        return self.replaced(features=features, detected=columns, told=self.told)

    def laid_out(self, layout: Layout | None) -> Inputs:
        """Return the same inputs with another layout."""
        if layout == self.layout:
            return self
        inferred = self.inferred and replace(self.inferred, declared=self.inferred.declared.laid_out(layout))
        return self.replaced(inferred=inferred, layout=layout)

    def replaced(self, **changes: Any) -> Inputs:
        """Return a copy with other arguments; with other features or another dependence, it is not what a file told."""
        kept = ["features", "simplex", "dependence", "inferred", "detected", "layout", "axes"]
        kept += [] if {"features", "dependence"} & {*changes} else ["told"]
        made = Inputs(**{name: getattr(self, name) for name in kept} | changes)
        if "told" in kept and "mixings" in vars(self):
            made.mixings = self.mixings
        return made

    def _support(self, i: int) -> tuple[float, float]:
        feature = self.features[i]
        if i not in self.simplex or feature.levels is not None:
            return feature.support
        low, high = feature.range or (0.0, 1.0)
        return low, high

    def _units(self, i: int) -> tuple[float, float]:
        """Center and scale of a feature, in raw units."""
        feature, n = self.features[i], len(self.simplex)
        if i in self.simplex and not feature.known:  # moments of the uniform distribution on the simplex
            return 1 / n, math.sqrt((n - 1) / (n * n * (n + 1)))
        return feature.center, feature.scale

    def known(self, dtype: torch.dtype, device: torch.device) -> Exact:
        """The constraints on raw rows in a dtype on a device, cached."""
        key = (dtype, device)
        if key not in self._exact:
            narrow = {} if self.layout is None else self.layout.narrow
            units = self.center, self.scale
            self._exact[key] = exact(self.features, self.simplex, units, self._edges, dtype, device, narrow)
        return self._exact[key]

    def _ends(self, like: Tensor) -> tuple[Tensor, Tensor]:
        key = (like.dtype, like.device)
        if key not in self._cast:
            self._cast[key] = self.low.to(like), self.high.to(like)
        return self._cast[key]


class _Raw(torch.autograd.Function):
    """``Exact.rows`` with a straight-through gradient past the rounding."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, known: Exact) -> Tensor:
        ctx.scale, ctx.dtype = known.scale, z.dtype
        return known.rows(z)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (gradient,) = grad_outputs
        return (gradient * ctx.scale).to(ctx.dtype), None
