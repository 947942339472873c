"""One input feature of a teacher: its declaration, and the distribution that the declaration defines."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Self

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from dfkd_tune.inputs.marginals.quantile_function import Curve, curve
from dfkd_tune.utils.strategy import strategy

SQRT12 = math.sqrt(12.0)
LARGEST_NUMBER = 1e150
"""Largest magnitude whose square float64 holds with room to spare; its inverse is the smallest."""
LARGEST_INTEGER = 2.0**53
"""Largest number up to which float64 holds every whole number."""


@strategy
class Feature:
    """The declaration of one input feature, in raw units.

        dt.tune(model, features=[dt.Feature("load", mean=3.0, std=1.0, unit="kg"), dt.Feature("valve", levels=[0.0, 1.0])])

    Args:
        name: name of the feature.
        mean, std: mean and standard deviation; give both or neither.
        range: ``[low, high]``; no synthetic input lies outside.
        levels: the only values that occur: numbers, or words for a teacher that was fitted on a data frame. null stands
            for a missing value.
        probabilities: probabilities of the levels; equal by default.
        nominal: whether the order of the levels has no meaning; students then encode them one-hot. Words and missing
            values are always nominal; for numbers the teacher's outputs decide by default.
        integer: whether only whole numbers occur.
        missing: probability that the value is missing, for numbers; the teacher gets NaN then. All other keys describe the
            values that are there. A missing value of a feature with levels is the level null instead.
        unit: unit of the values, such as kg/h, for those who read the student's description; nothing is converted.
        quantiles: probability -> value, at least two; equal neighbors mark a value that occurs often. Between two
            quantiles, values are linear in the normal score of the probability.
    """

    name: Annotated[str, Field(min_length=1)]
    mean: float | None = None
    std: Annotated[float, Field(gt=0)] | None = None
    range: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    levels: Annotated[list[float | str | None], Field(min_length=1)] | None = None
    probabilities: list[Annotated[float, Field(ge=0)]] | None = None
    nominal: bool | None = None
    integer: bool = False
    quantiles: Annotated[dict[float, float], Field(min_length=2)] | None = None
    missing: Annotated[float, Field(gt=0, lt=1)] | None = None
    unit: Annotated[str, Field(min_length=1, max_length=40)] | None = None

    @field_validator("levels", mode="before")
    @classmethod
    def _words(cls, levels: object) -> object:
        if isinstance(levels, list) and any(isinstance(level, bool) for level in levels):
            raise ValueError(
                "levels are numbers or words; write truth values as 0 and 1, and quote yes, no, on, off, true and false where they are words"
            )
        return levels

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std are given together")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range must have low < high, found {self.range}")
        if self.range is not None and self.levels is not None:
            raise ValueError("range and levels exclude each other")
        if (
            self.integer
            and max(map(abs, [*(self.range or ()), *(self.quantiles or {}).values(), self.mean or 0.0]))
            > LARGEST_INTEGER
        ):
            raise ValueError(
                "integer is for numbers up to 2 ** 53: beyond it, float64 does not hold every whole number"
            )
        if self.integer and self.range is not None and math.ceil(self.range[0]) > math.floor(self.range[1]):
            raise ValueError(f"no whole number lies in range {self.range}")
        if self.levels is not None and self.missing is not None:
            raise ValueError("missing is for numbers: give null as one of the levels, with its probability")
        if self.levels is not None:
            self._distinct(self.levels)
        elif self.nominal is not None:
            raise ValueError("nominal needs levels")
        if self.probabilities is not None:
            if self.levels is None or len(self.probabilities) != len(self.levels):
                raise ValueError("probabilities need as many levels")
            if abs(sum(self.probabilities) - 1.0) > 1e-3:
                raise ValueError(f"probabilities must sum to 1, found {sum(self.probabilities):g}")
        if self.quantiles is not None:
            self._rising(self.quantiles)
        if self.mean is not None:
            self._within(self.mean)
        if not (self.scale < LARGEST_NUMBER and abs(self.center) < LARGEST_NUMBER):
            raise ValueError("range, levels and quantiles must not span more than a number can hold")
        if not self.scale > 1 / LARGEST_NUMBER:
            raise ValueError("range, levels and quantiles must span more than the least that a number can hold")
        return self

    @property
    def known(self) -> bool:
        return not (self.mean is None and self.range is None and self.levels is None and self.quantiles is None)

    @property
    def curve(self) -> Curve:
        """The quantile function in raw units; only for a feature with declared quantiles."""
        assert self.quantiles is not None  # a feature without them has no curve
        return curve(self.quantiles, self.range)

    @property
    def support(self) -> tuple[float, float]:
        """The smallest and the largest value that may occur, in raw units; infinite without a bound.

        Quantiles are a bound as well: values beyond their curve have probability 0. A generator that searched there
        would find gaps that no row of the declared distribution shows.
        """
        if self.levels is not None:
            return self.codes[0], self.codes[-1]
        if self.quantiles is not None:
            low, high = self.curve.support
            return (_whole(low, self.range), _whole(high, self.range)) if self.integer else (low, high)
        if self.range is not None:
            low, high = self.range
            return (math.ceil(low), math.floor(high)) if self.integer else (low, high)
        return -math.inf, math.inf

    @property
    def one_hot(self) -> bool:
        """Whether students encode its levels one-hot."""
        return self.levels is not None and (bool(self.nominal) or any(type(v) is not float for v in self.levels))

    @property
    def labels(self) -> list[str | None] | None:
        """The words behind the codes 0, 1, ... in rows; None if the levels are numbers."""
        if self.levels is None or not any(isinstance(v, str) for v in self.levels):
            return None
        return [v for v, _ in self._ordered if not isinstance(v, int | float)]

    @property
    def table(self) -> list[float]:
        """Raw values of the levels in order of their codes; a missing value is NaN and last."""
        if (labels := self.labels) is not None:
            return [math.nan if label is None else float(code) for code, label in enumerate(labels)]
        return [v if isinstance(v, float) else math.nan for v, _ in self._ordered]

    @property
    def codes(self) -> list[float]:
        """Codes of the levels before standardization: their values, or 0, 1, ... if they are encoded one-hot."""
        return [float(code) for code in range(len(self._ordered))] if self.one_hot else self.table

    @property
    def weights(self) -> list[float]:
        """Probabilities of the levels in order of their codes."""
        given = [p for _, p in self._ordered]
        total = sum(given)
        return [p / total for p in given]

    @property
    def _ordered(self) -> list[tuple[float | str | None, float]]:
        """Levels and their weights: numbers sorted, words in the given order, a missing value last."""
        assert self.levels is not None  # only levels have an order
        pairs = list(zip(self.levels, self.probabilities or [1.0] * len(self.levels), strict=True))
        if any(isinstance(v, str) for v, _ in pairs):
            return sorted(pairs, key=lambda pair: pair[0] is None)
        return sorted(pairs, key=lambda pair: (pair[0] is None, pair[0] or 0.0))

    @property
    def center(self) -> float:
        if self.mean is not None and not self.one_hot:
            return self.mean
        if self.quantiles is not None:
            return self.curve.moments[0]
        if self.range is not None:
            return sum(self.range) / 2
        if self.levels is not None:
            return sum(p * v for p, v in zip(self.weights, self.codes, strict=True))
        return 0.0

    @property
    def scale(self) -> float:
        if self.std is not None and not self.one_hot:
            return self.std
        if self.quantiles is not None:
            return self.curve.moments[1] or 1.0
        if self.range is not None:
            return (self.range[1] - self.range[0]) / SQRT12
        if self.levels is not None:
            center = self.center
            parts = (math.sqrt(p) * (v - center) for p, v in zip(self.weights, self.codes, strict=True))
            return math.hypot(*parts) or 1.0  # hypot also where the squares overflow
        return 1.0

    @property
    def values(self) -> Tensor:
        """The levels in order of their codes, in standardized units, float64."""
        return (torch.tensor(self.codes, dtype=torch.float64) - self.center) / self.scale

    def quantile(self, u: Tensor) -> Tensor:
        """Inverse of the declared distribution function: ``u`` in (0, 1), of any shape, to standardized units."""
        if self.levels is not None:
            steps = torch.tensor(self.weights, dtype=torch.float64).cumsum(0)[:-1]
            return self.values.to(u)[torch.bucketize(u.contiguous(), steps.to(u))]
        if self.quantiles is not None:
            return ((self.curve.at(u) - self.center) / self.scale).to(u)
        if self.range is not None and self.mean is None and self.integer:  # equally likely after rounding
            low, high = math.ceil(self.range[0]) - 0.5, math.floor(self.range[1]) + 0.5
            return (low + u * (high - low) - self.center) / self.scale
        if self.range is not None and self.mean is None:
            return (u - 0.5) * SQRT12
        if self.range is not None:  # a normal distribution truncated to the range
            low, high = (torch.special.ndtr(u.new_tensor((edge - self.center) / self.scale)) for edge in self.range)
            return torch.special.ndtri(low + u * (high - low))
        return torch.special.ndtri(u)

    def _distinct(self, levels: list[float | str | None]) -> None:
        """Check that the levels are distinct and of one type."""
        if len(set(levels)) != len(levels):
            raise ValueError("levels must differ from each other")
        kinds = {type(v) for v in levels} - {type(None)}
        if len(kinds) > 1:
            raise ValueError(
                "levels must be all numbers or all words, and null for a missing value; quote the numbers where they are words"
            )
        if self.nominal is False and (None in levels or str in kinds):
            raise ValueError("words and missing values have no order: leave nominal out")
        if self.integer and any(type(v) is not float or v != round(v) for v in levels):
            raise ValueError("levels must be whole numbers where integer is true")

    def _within(self, mean: float) -> None:
        """Check that values of the range, the levels or the quantiles can have this mean."""
        if self.labels is not None:
            raise ValueError("mean and std are those of numbers, and the levels are words: leave them out")
        ends, what = self.range, f"range {self.range}"
        if self.levels is not None:
            levels = [v for v in self.levels if isinstance(v, float)] or [mean]
            ends, what = [min(levels), max(levels)], f"levels {self.levels}"
        elif self.quantiles is not None:
            ends, what = [*self.curve.support], f"quantiles {self.quantiles}"
        if ends is not None and not ends[0] <= mean <= ends[1]:
            raise ValueError(f"mean {mean} lies outside {what}")

    def _rising(self, quantiles: dict[float, float]) -> None:
        """Check that the quantiles lie in the range and increase."""
        if self.levels is not None:
            raise ValueError("quantiles and levels exclude each other")
        pairs = list(quantiles.items())
        for p, value in pairs:
            if not 0 < p < 1:
                raise ValueError(f"quantiles need probabilities between 0 and 1, found {p:g}")
            if self.range is not None and not self.range[0] <= value <= self.range[1]:
                raise ValueError(f"quantile {p:g} lies outside range {self.range}: {value:g}")
        for (p, value), (q, greater) in pairwise(pairs):
            if not p < q:
                raise ValueError(f"quantiles must be given by rising probabilities, found {q:g} after {p:g}")
            if greater < value:
                raise ValueError(f"quantiles must not fall, found {greater:g} at {q:g} after {value:g} at {p:g}")


def _whole(edge: float, edges: list[float] | None) -> float:
    """Round an end of the support to a whole number within the range."""
    return round(edge) if edges is None else min(max(round(edge), math.ceil(edges[0])), math.floor(edges[1]))
