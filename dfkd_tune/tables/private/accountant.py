"""The privacy budget: noise and accounting by OpenDP.

A description is ``(epsilon, delta)``-differentially private: for two tables that differ by the presence of one row,
``P(file in A) <= exp(epsilon) P'(file in A) + delta`` for every set ``A`` of files. Each part adds discrete Gaussian noise to a
vector of whole numbers (Canonne, Kamath and Steinke 2020). One row changes the vector by at most ``sensitivity`` in Euclidean norm,
so noise of standard deviation ``s`` spends ``rho = sensitivity^2 / (2 s^2)`` of zero-concentrated differential privacy (Bun and
Steinke 2016). OpenDP adds the parts up, refuses one beyond its share, and converts the sum to epsilon and delta. Its noise comes from
the operating system's source of randomness. There is no seed, which would reveal the noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from dfkd_tune.errors import FeaturesError

if TYPE_CHECKING:
    from opendp.mod import Measurement

DELTA = 1e-6
"""Default of delta."""
MOST_DELTA = 1e-3
"""Largest delta: it is the probability that the guarantee fails, which must be small beside one row of a table."""
MOST_EPSILON = 100.0
"""Largest epsilon; a larger one protects nothing."""


@dataclass(frozen=True)
class Privacy:
    """The guarantee that is asked for.

    Args:
        epsilon: from 0 to ``MOST_EPSILON``.
        delta: from 0 to ``MOST_DELTA``.

    Raises:
        FeaturesError: a number is out of range, or OpenDP is not installed.
    """

    epsilon: float
    delta: float = DELTA

    def __post_init__(self) -> None:
        for name, most, usual in (("epsilon", MOST_EPSILON, "1"), ("delta", MOST_DELTA, "1e-6")):
            value = getattr(self, name)
            if not 0 < value <= most:
                rule = f"must be greater than 0 and at most {most:g}, got {value:g}"
                raise FeaturesError(f"--{name}", rule, remedy=f"{usual} is usual")
            object.__setattr__(self, name, float(value))  # OpenDP takes no whole number
        if find_spec("opendp") is None:
            raise FeaturesError("--epsilon", "needs the package opendp", remedy="pip install 'dfkd-tune[privacy]'")


@dataclass(frozen=True)
class Spent:
    """What a part of a description spent.

    Args:
        part: name of the part.
        rho: zero-concentrated privacy loss; the losses of all parts add up.
        epsilon: privacy loss of the part alone, at the same delta.
        noise: standard deviation of the noise of every number of the vector.
    """

    part: str
    rho: float
    epsilon: float
    noise: float


@dataclass
class Accountant:
    """Measures a table in parts until a budget is spent.

    Args:
        privacy: budget of all parts together.
        shares: name of a part -> its share of the budget, in the order of the measurements; they sum to 1.
        rows: the table, of any type that the functions of ``measure`` take.
    """

    privacy: Privacy
    shares: Mapping[str, float]
    rows: Any
    spent: list[Spent] = field(default_factory=list)

    def __post_init__(self) -> None:
        from opendp.mod import binary_search, enable_features

        enable_features("contrib", "honest-but-curious")
        self._rho = binary_search(
            lambda rho: self._epsilon(self._composed(rho)) <= self.privacy.epsilon, bounds=(0.0, self.privacy.epsilon)
        )
        self._queryable = self._composed(self._rho)(self.rows)

    @property
    def epsilon(self) -> float:
        """Privacy loss of all parts together, as OpenDP accounts for it; at most the budget."""
        return self._epsilon(self._composed(self._rho))

    def measure(self, part: str, vector: Callable[[Any], np.ndarray], sensitivity: float) -> np.ndarray:
        """Whole numbers of the table with noise, as float64.

        Args:
            part: name of the part, the next one in ``shares``.
            vector: function from the rows to a vector of whole numbers. It may depend on what was measured before.
            sensitivity: largest Euclidean distance by which one more row changes the vector.
        """
        from opendp.combinators import make_chain_mt
        from opendp.domains import atom_domain, vector_domain
        from opendp.measurements import make_gaussian
        from opendp.metrics import l2_distance, symmetric_distance
        from opendp.mod import binary_search
        from opendp.transformations import make_user_transformation

        rho = self.shares[part] * self._rho
        numbers = vector_domain(atom_domain(T=int)), l2_distance(T=float)
        exact = make_user_transformation(
            _domain(),
            symmetric_distance(),
            *numbers,
            lambda rows: np.asarray(vector(rows), dtype=np.int64).tolist(),
            lambda changed: math.nextafter(changed * sensitivity, math.inf),
        )

        def noised(scale: float) -> Measurement:
            return make_chain_mt(make_gaussian(*numbers, scale=scale), exact)

        near = sensitivity / math.sqrt(2 * rho)
        scale = binary_search(lambda scale: noised(scale).map(1) <= rho, bounds=(0.99 * near, 1.01 * near))
        found = np.array(self._queryable(noised(scale)), dtype=np.float64)
        self.spent.append(Spent(part, rho, self._epsilon(noised(scale)), scale))
        return found

    def _composed(self, rho: float) -> Measurement:
        from opendp.combinators import make_adaptive_composition
        from opendp.measures import zero_concentrated_divergence
        from opendp.metrics import symmetric_distance

        losses = [share * rho for share in self.shares.values()]
        measure = zero_concentrated_divergence()
        return make_adaptive_composition(_domain(), symmetric_distance(), measure, d_in=1, d_mids=losses)

    def _epsilon(self, measured: Measurement) -> float:
        """Epsilon of a measurement at the budget's delta."""
        from opendp.combinators import make_fix_delta, make_zCDP_to_approxDP

        return make_fix_delta(make_zCDP_to_approxDP(measured), delta=self.privacy.delta).map(1)[0]

    def table(self) -> list[str]:
        """What each part spent, as lines of text."""
        rows: Sequence[Sequence[str]] = [
            ("part", "rho (zCDP)", "epsilon alone"),
            *((each.part, f"{each.rho:.6f}", f"{each.epsilon:.3f}") for each in self.spent),
            ("together", f"{sum(each.rho for each in self.spent):.6f}", f"{self.epsilon:.3f}"),
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def library() -> str:
    """Name and version of the library behind the guarantee."""
    return f"OpenDP {version('opendp')}"


def _domain() -> Any:
    """OpenDP's domain of tables: any, as every function of ``measure`` takes any."""
    from opendp.domains import user_domain

    return user_domain("rows of a table", lambda rows: True)
