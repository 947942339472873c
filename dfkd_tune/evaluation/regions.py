"""Find the regions of the input space where a student is worst, as conditions on features in raw units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dfkd_tune.inputs.prior import Inputs

FARTHER = 1.0
"""How far beyond all values the rows lie in which a number is missing, in standard deviations, so that one split separates them."""
LEAVES = 6
SMALLEST = 0.05
"""Smallest share of the rows that a region holds in the half on which it was found."""


@dataclass(frozen=True)
class Condition:
    """``above < feature <= upto`` in raw units, None for an open end; or membership in a set of unordered levels.

    Args:
        feature: name of the feature.
        above, upto: ends of the values.
        levels: the levels; None if the ends say enough.
        missing: whether rows without a value belong to it as well; None if there are no such rows.
    """

    feature: str
    above: float | None
    upto: float | None
    levels: tuple[float | str | None, ...] | None = None
    missing: bool | None = None

    def __str__(self) -> str:
        ends = self._ends()
        if self.missing:
            return f"({ends} or {self.feature} is missing)"
        return ends

    def _ends(self) -> str:
        if self.levels is not None:
            words = ["missing" if v is None else v if isinstance(v, str) else f"{v:.15g}" for v in self.levels]
            return f"{self.feature} is {' or '.join(words)}"
        if self.above is None and self.upto is None:
            return f"{self.feature} is not missing"
        if self.above is None:
            return f"{self.feature} <= {self.upto:.15g}"
        if self.upto is None:
            return f"{self.feature} > {self.above:.15g}"
        return f"{self.above:.15g} < {self.feature} <= {self.upto:.15g}"


@dataclass(frozen=True)
class Region:
    """A region of the input space and the student's error there.

    Args:
        conditions: conditions that all hold; none if the region is the whole space.
        rows, share: number and share of the measured rows in it.
        rmse: RMSE in the teacher's units.
        relative_rmse: RMSE in the teacher's standard deviations.
        ratio: ``relative_rmse`` over that of all rows, those included on which the regions were found.
    """

    conditions: tuple[Condition, ...]
    rows: int
    share: float
    rmse: float
    relative_rmse: float
    ratio: float

    def __str__(self) -> str:
        return " and ".join(map(str, self.conditions)) or "everywhere"


def regions(inputs: Inputs, z: Tensor, gaps: Tensor, spread: Tensor) -> tuple[Region, ...]:
    """Split the input space by the size of the gap; returns the regions, the worst first.

    A decision tree is fitted on every other row; the errors are measured on the remaining rows.

    Args:
        inputs: names and units of the features.
        z: standardized rows ``(N, D)``.
        gaps: student minus teacher ``(N, O)``, in the teacher's units.
        spread: standard deviations ``(O,)`` of the teacher's outputs, in its units.
    """
    from sklearn.tree import DecisionTreeRegressor

    z, gaps, spread = _ranked(inputs, z.cpu().double()), gaps.cpu().double(), spread.cpu().double()
    relative = (gaps / spread).square().mean(1)
    smallest = max(1, math.ceil(SMALLEST * len(z[::2])))
    tree = DecisionTreeRegressor(max_leaf_nodes=LEAVES, min_samples_leaf=smallest, random_state=0)
    # Fit the absolute gap: a few rows would dominate its square.
    tree.fit(z[::2].numpy(), relative[::2].sqrt().numpy())

    raw = z[1::2] * inputs.scale + inputs.center
    # Of a number that may be missing: the largest value that is there.
    most = {i: float(raw[:, i].max()) - FARTHER * float(inputs.scale[i]) for i in inputs.gapped}
    everywhere = math.sqrt(float(relative.mean()))  # of all rows, as the RMSE that is shown beside the regions
    gaps, relative = gaps[1::2], relative[1::2]
    found = []
    for edges in _leaves(tree.tree_, inputs):
        inside = torch.ones(len(raw), dtype=torch.bool)
        for i, (above, upto) in edges.items():
            inside &= (raw[:, i] > above) & (raw[:, i] <= upto)
        if not inside.any():
            continue
        size = math.sqrt(float(relative[inside].mean()))
        found.append(
            Region(
                conditions=tuple(
                    _condition(
                        inputs,
                        i,
                        above if math.isfinite(above) else None,
                        upto if math.isfinite(upto) else None,
                        most.get(i),
                    )
                    for i, (above, upto) in sorted(edges.items())
                ),
                rows=int(inside.sum()),
                share=float(inside.double().mean()),
                rmse=math.sqrt(float(gaps[inside].square().mean())),
                relative_rmse=size,
                ratio=size / everywhere if everywhere else 1.0,
            )
        )
    return tuple(sorted(found, key=lambda region: -region.relative_rmse))


def _ranked(inputs: Inputs, z: Tensor) -> Tensor:
    """Standardized rows ``(N, D)`` with missing numbers beyond all that are there."""
    z = z.clone()
    for i in inputs.gapped:
        column = z[:, i]
        z[:, i] = column.nan_to_num(float(column.nan_to_num(-torch.inf).max().clamp(min=0.0)) + FARTHER)
    return z


def _condition(inputs: Inputs, i: int, above: float | None, upto: float | None, most: float | None = None) -> Condition:
    """A condition on feature ``i``; for unordered levels the edges lie between their codes.

    ``most`` is the largest value of a number that may be missing; missing ones lie beyond it.
    """
    feature = inputs.features[i]
    if most is not None:
        if above is not None and above >= most:
            return Condition(feature.name, None, None, (None,))
        return Condition(feature.name, above, None if upto is not None and upto >= most else upto, None, upto is None)
    if not feature.one_hot:
        return Condition(feature.name, above, upto)
    held = [c for c in range(len(feature.codes)) if (above is None or c > above) and (upto is None or c <= upto)]
    known = feature.labels or [None if math.isnan(value) else value for value in feature.table]
    return Condition(feature.name, None, None, tuple(known[c] for c in held))


Edges = dict[int, tuple[float, float]]


def _leaves(tree: Any, inputs: Inputs, node: int = 0, edges: Edges | None = None) -> list[Edges]:
    """The leaves of a tree below a node, each as feature -> (above, upto) in raw units."""
    edges = edges or {}
    if tree.children_left[node] < 0:
        return [edges]
    i = int(tree.feature[node])
    center, scale = float(inputs.center[i]), float(inputs.scale[i])
    edge = _short(center + scale * float(tree.threshold[node]), scale)
    above, upto = edges.get(i, (-math.inf, math.inf))
    left = edges | {i: (above, min(upto, edge))}
    right = edges | {i: (max(above, edge), upto)}
    return _leaves(tree, inputs, int(tree.children_left[node]), left) + _leaves(
        tree, inputs, int(tree.children_right[node]), right
    )


def _short(edge: float, scale: float) -> float:
    """An edge rounded to about a hundredth of the feature's scale; errors are measured with the rounded edge."""
    return round(edge, 2 - math.floor(math.log10(scale)))
