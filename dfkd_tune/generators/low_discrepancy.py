"""Generators that draw without looking at the student: uniform and quasi-random points (Zhou & Chiam 2023, section 4).

They are drawn and labeled in blocks, ahead of the steps that use them.
"""

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
    """Where points of the unit cube come from."""

    def random(self, n: int) -> np.ndarray:
        """The next ``(n, D)``."""
        ...


def unit_points(engine: Engine, steps: int, rows: int) -> Tensor:
    """Points ``(steps * rows, D)`` of the unit cube, float64, drawn step by step."""
    import numpy as np

    return torch.from_numpy(np.concatenate([engine.random(rows) for _ in range(steps)]))


class Points(BlockGenerator):
    """What samplers share: points of the unit cube, pushed through the prior or spread over a box."""

    over: Over
    reach: float

    def block(self, inputs: Inputs, steps: int, rows: int, engine: Engine) -> Tensor:
        """Points ``(steps, rows, D)`` in standardized units, float64."""
        u = unit_points(engine, steps, rows)
        z = inputs.quantile(u) if self.over == "prior" else inputs.spread(u, self.reach)
        return inputs.project(z).view(steps, rows, len(inputs))


@strategy
class Uniform(BlockGenerator):
    """Uniform over the declared ranges; over ``center +- reach * std`` where no range is declared.

    Args:
        reach: in standard deviations of the feature.
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
    """A fresh Latin hypercube of every batch (McKay, Beckman & Conover 1979).

    Args:
        over: through the input prior, or over the box of ``uniform``.
        reach: of the box.
    """

    over: Over = "prior"
    reach: Reach = 3.0

    def engine(self, features: int, seed: int) -> Engine:
        from scipy.stats import qmc

        return qmc.LatinHypercube(features, rng=seed)


@strategy
class Sobol(Points):
    """A scrambled Sobol sequence, continued from batch to batch (Owen 1998).

    Args:
        over: through the input prior, or over the box of ``uniform``.
        reach: of the box.
    """

    over: Over = "prior"
    reach: Reach = 3.0

    def engine(self, features: int, seed: int) -> Engine:
        import warnings

        from scipy.stats import qmc

        warnings.filterwarnings("ignore", message="The balance properties of Sobol", category=UserWarning)
        return qmc.Sobol(features, rng=seed, bits=62)


@strategy
class Halton(Points):
    """A scrambled Halton sequence, continued from batch to batch (Owen 2017).

    Args:
        over: through the input prior, or over the box of ``uniform``.
        reach: of the box.
    """

    over: Over = "prior"
    reach: Reach = 3.0

    def engine(self, features: int, seed: int) -> Engine:
        from scipy.stats import qmc

        return qmc.Halton(features, rng=seed)
