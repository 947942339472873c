"""Generators of uniform and quasi-random points (Zhou & Chiam 2023, section 4), which use neither teacher nor student."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor

from dfkd_tune.generators.base import BlockGenerator
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.utils.strategy import strategy

if TYPE_CHECKING:
    import numpy as np

Reach = Annotated[float, Field(gt=0)]
Over = Literal["prior", "box"]


class Engine(Protocol):
    """A source of points in the unit cube."""

    def random(self, n: int) -> np.ndarray:
        """The next n points, ``(n, D)``."""
        ...


def unit_points(engine: Engine, steps: int, rows: int) -> Tensor:
    """Points ``(steps * rows, D)`` in the unit cube, float64; ``rows`` are drawn at a time."""
    import numpy as np

    return torch.from_numpy(np.concatenate([engine.random(rows) for _ in range(steps)]))


@strategy
class Points(BlockGenerator):
    """Base of the quasi-random generators: points in the unit cube, mapped by the prior's quantiles or scaled to a box.

    Args:
        over: ``prior`` maps points by the quantiles of the input prior; ``box`` scales them to the box of ``uniform``.
        reach: half width of the box, in standard deviations of the feature.
    """

    over: Over = "prior"
    reach: Reach = 3.0

    def block(self, inputs: Inputs, steps: int, rows: int, engine: Engine) -> Tensor:
        """Points ``(steps, rows, D)`` in standardized units, float64."""
        u = unit_points(engine, steps, rows)
        z = inputs.quantile(u) if self.over == "prior" else inputs.spread(u, self.reach)
        return inputs.project(z).view(steps, rows, len(inputs))


@strategy
class Uniform(BlockGenerator):
    """Uniform over the declared range of each feature, or over ``center +- reach * std`` if none is declared.

    Args:
        reach: half width where no range is declared, in standard deviations of the feature.
    """

    reach: Reach = 3.0

    def engine(self, features: int, seed: int) -> Engine:
        import numpy as np

        return _Plain(np.random.default_rng(seed), features)

    def block(self, inputs: Inputs, steps: int, rows: int, engine: Engine) -> Tensor:
        """Points ``(steps, rows, D)`` in standardized units, float64."""
        z = inputs.spread(unit_points(engine, steps, rows), self.reach)
        return inputs.project(z).view(steps, rows, len(inputs))


class _Plain:
    def __init__(self, rng: np.random.Generator, features: int) -> None:
        self._rng, self._features = rng, features

    def random(self, n: int) -> np.ndarray:
        return self._rng.random((n, self._features))


@strategy
class LatinHypercube(Points):
    """A new Latin hypercube for every batch (McKay, Beckman & Conover 1979)."""

    def engine(self, features: int, seed: int) -> Engine:
        from scipy.stats import qmc

        return qmc.LatinHypercube(features, rng=seed)


@strategy
class Sobol(Points):
    """A scrambled Sobol sequence, continued from batch to batch (Owen 1998)."""

    def engine(self, features: int, seed: int) -> Engine:
        import warnings

        from scipy.stats import qmc

        warnings.filterwarnings("ignore", message="The balance properties of Sobol", category=UserWarning)
        return qmc.Sobol(features, rng=seed, bits=62)


@strategy
class Halton(Points):
    """A scrambled Halton sequence, continued from batch to batch (Owen 2017)."""

    def engine(self, features: int, seed: int) -> Engine:
        from scipy.stats import qmc

        return qmc.Halton(features, rng=seed)
