"""Worlds: plausible true distributions of a teacher's inputs that agree with what is declared of them.

Declared moments, ranges, levels and quantiles hold exactly. Declared rank correlations hold about, and on average: they become the
correlations of normal scores that are then mapped to one standard normal distribution each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from dfkd_tune.evaluation.knowledge import dependence, marginals
from dfkd_tune.inputs.dependence.copula_mixture import CopulaMixture
from dfkd_tune.inputs.dependence.rank_correlation import RankCorrelation
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.utils.seeding import derive

WIDEST = 128
"""Largest number of features: the work on covariances grows with its third power."""
GOLDEN = (math.sqrt(5) - 1) / 2
"""Multiples of it, modulo 1, are spread evenly over the unit interval, however many there are."""


@dataclass(frozen=True)
class World:
    """One plausible truth.

    Args:
        real: the distribution of the inputs.
        told: the inputs as one more tier of knowledge would declare them.
    """

    real: Inputs
    told: Inputs


def next_tier(inputs: Inputs) -> str | None:
    """The tier of ``dfkd-tune describe`` that declares more of the inputs; None if there is none."""
    if not all(map(marginals.known, inputs.features)):
        return "quantiles"
    if len(inputs) == 1:
        return None
    return {None: "correlation", RankCorrelation: "mixture"}.get(inputs.dependence and type(inputs.dependence))


def unforeseen(inputs: Inputs) -> str | None:
    """Why no plausible truth can be drawn for these inputs; None if it can."""
    if inputs.axes:
        return "what windows and grids look like is not foreseen"
    if inputs.simplex:
        return "what shares of a whole look like is not foreseen"
    if inputs.inferred is not None:
        return "a part of the prior was read out of the teacher"
    if len(inputs) > WIDEST:
        return f"there are more than {WIDEST} features"
    return None


def world(inputs: Inputs, seed: int, number: int) -> World:
    """Draw a world.

    Args:
        inputs: what is declared; it has a next tier, and is foreseen.
        seed: seed of all worlds.
        number: number of the world, from 0.
    """
    rng = np.random.default_rng(derive(seed, "world", number))
    features = marginals.plausible(inputs.features, rng, number)
    told = inputs.replaced(features=features)
    if isinstance(inputs.dependence, CopulaMixture):  # of features whose quantiles are not declared
        return World(told, told)
    place = (number + 0.5) * GOLDEN % 1
    matrix = _declared(told) if inputs.dependence is not None else dependence.correlation(len(inputs), rng, place)
    loose = 0.0 if inputs.dependence is None else dependence.LOOSE
    is_grouped = len(inputs) > 1 and (inputs.dependence is not None or number % 2 == 1)
    truth = dependence.grouped(matrix, rng, loose) if is_grouped else dependence.gaussian(matrix)
    real = told.replaced(dependence=truth)
    return World(
        real,
        {
            "quantiles": told,
            "correlation": told.replaced(dependence=dependence.gaussian(matrix)),
            "mixture": real,
        }[next_tier(inputs) or "mixture"],
    )


def _declared(inputs: Inputs) -> np.ndarray:
    """The correlation matrix ``(D, D)`` of normal scores that declared rank correlations mean."""
    mixed = torch.eye(len(inputs), dtype=torch.float64)
    for mixing in inputs.mixings:
        mixed = mixing.of(mixed)
    return (mixed.T @ mixed).numpy()
