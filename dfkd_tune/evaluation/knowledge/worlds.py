"""Worlds: plausible true distributions of a teacher's inputs that agree with what is declared of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from dfkd_tune.evaluation.knowledge import dependence, marginals
from dfkd_tune.inputs.dependence.copula_mixture import CopulaMixture
from dfkd_tune.inputs.dependence.rank_correlation import RankCorrelation
from dfkd_tune.inputs.prior import Inputs

WIDEST = 128
"""Largest number of features: the work on covariances grows with its third power."""
GROUPED = 0.5
"""Probability that rows of a world form groups where nothing is declared of how features go together."""


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


def world(inputs: Inputs, rng: np.random.Generator) -> World:
    """Draw a world; ``inputs`` have a next tier, and are foreseen."""
    features = marginals.plausible(inputs.features, rng)
    told = inputs.replaced(features=features)
    if isinstance(inputs.dependence, CopulaMixture):  # of features whose quantiles are not declared
        return World(told, told)
    matrix = _declared(told) if inputs.dependence is not None else dependence.correlation(len(inputs), rng)
    is_grouped = len(inputs) > 1 and (inputs.dependence is not None or rng.random() < GROUPED)
    truth = dependence.grouped(matrix, rng) if is_grouped else dependence.gaussian(matrix)
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
