"""Plausible distributions of features whose quantiles are not declared.

The features of a table resemble each other: those of a machine are mostly skewed, those of a survey have few values. So each world has
one shape that half of its features or more have. Successive worlds take it from a list, so that few worlds show all shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy.special import betaincinv, ndtr, ndtri

from dfkd_tune.inputs.feature import Feature

Rng = np.random.Generator
Curve = Callable[[np.ndarray], np.ndarray]
"""Quantile function: probabilities ``(M,)`` to values ``(M,)``, in any unit."""
Shape = Callable[[Rng], Curve]
PROBABILITIES = ndtr(np.linspace(-3.1, 3.1, 63))
LEAST_JUMP = 0.3
"""Difference of neighboring values, in standard deviations, between which further probabilities are put."""
FURTHER = 33
"""Number of those."""
ALIKE = (0.5, 1.0)
"""Least and largest probability that a feature has the main shape of its world."""
MIRRORED = 0.3
"""Probability that a shape is mirrored: measured values are more often skewed to the right."""
EDGES = 0.8
"""Standard deviation of the logarithms of the parameters of a beta distribution over a declared range."""


def _normal(rng: Rng) -> Curve:
    return ndtri


def _uniform(rng: Rng) -> Curve:
    return lambda p: p


def _skewed(rng: Rng) -> Curve:
    """Log-normal."""
    width = rng.uniform(0.3, 1.5)
    return lambda p: np.exp(width * ndtri(p))


def _heavy_tailed(rng: Rng) -> Curve:
    """Sinh-arcsinh (Jones & Pewsey 2009) without skew."""
    tails = np.exp(rng.uniform(0.1, 0.7))
    return lambda p: np.sinh(tails * np.arcsinh(ndtri(p)))


def _bimodal(rng: Rng) -> Curve:
    """A mixture of two normal distributions."""
    share, apart, width = rng.uniform(0.2, 0.8), rng.uniform(3.0, 8.0), rng.uniform(0.5, 2.0)
    x = np.linspace(-5.0, apart + 5.0 * width, 2_001)
    below = share * ndtr(x) + (1 - share) * ndtr((x - apart) / width)
    return lambda p: np.interp(p, below, x)


def _spiked(rng: Rng) -> Curve:
    """One value that a third of the rows or more have, and a log-normal rest."""
    share, width = rng.uniform(0.3, 0.99), rng.uniform(0.3, 1.2)

    def values(p: np.ndarray) -> np.ndarray:
        rest = np.clip((p - share) / (1 - share), 1e-4, 1 - 1e-4)
        return np.where(p < share, 0.0, np.exp(width * ndtri(rest)))

    return values


def _leveled(rng: Rng) -> Curve:
    """A few equally spaced values."""
    ends = rng.dirichlet(np.ones(rng.integers(2, 7))).cumsum()[:-1]
    return lambda p: np.searchsorted(ends, p).astype(float)


SHAPES = (_normal, _uniform, _skewed, _heavy_tailed, _bimodal, _spiked, _leveled)
MAIN = (_spiked, _skewed, _leveled, _normal, _spiked, _uniform, _skewed, _bimodal, _spiked, _heavy_tailed)
"""Main shapes of successive worlds. Measured values are most often skewed, or mostly one value."""


def known(feature: Feature) -> bool:
    """Whether the distribution of a feature is declared: quantiles, or levels with their probabilities."""
    if feature.levels is not None:
        return feature.probabilities is not None or len(feature.levels) == 1
    return feature.quantiles is not None


def plausible(features: Sequence[Feature], rng: Rng, number: int) -> list[Feature]:
    """Features with a plausible distribution wherever it is not declared; declared moments, ranges and levels hold.

    Args:
        features: the features as declared.
        rng: source of the random numbers.
        number: number of the world.
    """
    main, alike = MAIN[number % len(MAIN)], rng.uniform(*ALIKE)
    shapes = [main if rng.random() < alike else SHAPES[rng.integers(len(SHAPES))] for _ in features]
    return [each if known(each) else _drawn(each, shape, rng) for each, shape in zip(features, shapes, strict=True)]


def _drawn(feature: Feature, shape: Shape, rng: Rng) -> Feature:
    if feature.levels is not None:
        return replace(feature, probabilities=rng.dirichlet(np.ones(len(feature.levels))).tolist())
    if feature.range is not None:
        low, high = feature.range
        values = low + (high - low) * betaincinv(*np.exp(rng.normal(0.0, EDGES, 2)), PROBABILITIES)
        return replace(feature, quantiles=_quantiles(PROBABILITIES, values))
    right = shape(rng)
    curve = (lambda p: -right(1 - p)) if rng.random() < MIRRORED else right
    p = _knots(curve)
    values = curve(p)
    bare = Feature(feature.name, quantiles=_quantiles(p, values))
    center, scale = (0.0, 1.0) if feature.mean is None or feature.std is None else (feature.mean, feature.std)
    return replace(feature, quantiles=_quantiles(p, center + scale * (values - bare.center) / bare.scale))


def _knots(curve: Curve) -> np.ndarray:
    """Probabilities at which a quantile function is declared, closer together where it jumps: a jump must not become a slope."""
    p = PROBABILITIES
    values = curve(p)
    jumps = np.flatnonzero(np.diff(values) > LEAST_JUMP * values.std())
    return np.unique(np.concatenate([p, *(np.linspace(p[j], p[j + 1], FURTHER) for j in jumps)]))


def _quantiles(p: np.ndarray, values: np.ndarray) -> dict[float, float]:
    return dict(zip(p.tolist(), np.maximum.accumulate(values).tolist(), strict=True))
