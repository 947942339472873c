"""Features whose quantiles are declared, and what is true of draws from them."""

import math

import numpy as np
import torch
from hypothesis import strategies as st
from scipy.stats import spearmanr

from dfkd_tune.inputs.feature import Feature

ROWS = 40_000


MANY = 5.0

"""Standard errors within which a correct statistic lies."""


NORMAL = Feature(name="normal", quantiles={0.0013498980316300933: -3.0, 0.9986501019683699: 3.0})


SKEWED = Feature(name="skewed", quantiles={0.01: 0.1, 0.25: 0.5, 0.5: 1.0, 0.75: 2.0, 0.99: 10.0})


ATOMS = Feature(name="atoms", quantiles={0.05: 0.0, 0.6: 0.0, 0.75: 3.0, 0.9: 3.0, 0.99: 10.0})


SWITCH = Feature(name="switch", levels=[0.0, 1.0], probabilities=[0.9, 0.1])


COUNT = Feature(name="count", quantiles={0.1: 0.2, 0.5: 1.0, 0.9: 3.0}, integer=True)


PLAIN = Feature(name="plain")


MIXED = (NORMAL, SKEWED, ATOMS, SWITCH, COUNT, PLAIN)


RANKS = [[1], [0.5, 1], [-0.3, 0.1, 1], [0.2, 0.2, 0.2, 1], [-0.4, -0.2, 0.2, -0.1, 1], [0.3, 0.0, 0.2, 0.1, 0.2, 1]]


@st.composite
def declared(draw) -> Feature:
    """Features with quantiles: rising probabilities, values that never fall and often stay."""
    grid = sorted(draw(st.sets(st.integers(1, 999), min_size=2, max_size=12)))
    start = draw(st.floats(-1e4, 1e4))
    steps = draw(
        st.lists(
            st.one_of(st.just(0.0), st.floats(1e-3, 1e3)),
            min_size=len(grid),
            max_size=len(grid),
        )
    )
    values = (start + np.cumsum(steps)).tolist()
    edges = draw(st.booleans()) and [
        values[0] - draw(st.floats(0, 10)) - 1e-3,
        values[-1] + draw(st.floats(0, 10)) + 1e-3,
    ]
    return Feature(
        name="x",
        quantiles={p / 1000: v for p, v in zip(grid, values, strict=True)},
        range=edges or None,
    )


def close(feature: Feature) -> float:
    """What rounding to standardized units may cost."""
    return 1e-9 * (abs(feature.center) + feature.scale + max(map(abs, feature.support)))


def assert_quantiles(x: torch.Tensor, feature: Feature) -> None:
    """At least the declared share lies at or below each quantile, and no more than it below."""
    for p, value in feature.quantiles.items():
        error = MANY * math.sqrt(p * (1 - p) / len(x))
        room = 0.5 if feature.integer else close(feature)
        assert float((x < value - room).double().mean()) <= p + error
        assert float((x <= value + room).double().mean()) >= p - error


def ranks_of(x) -> np.ndarray:
    return spearmanr(np.asarray(x)).statistic
