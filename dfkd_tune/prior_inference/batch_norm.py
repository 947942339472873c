"""Infer a prior from the running moments of a teacher's batch normalization.

Batch normalization stores the mean and variance of its inputs over the training rows. DeepInversion (Yin et al. 2020,
arXiv 1912.08795) generates inputs that reproduce them. Here they determine the correlations, skewness and tails of
features that are not declared: the distribution in the family ``SinhArcsinh`` under which the same units have these
moments,

    min mean_j [((E p_j - mu_j) / s_j)^2 + ((std p_j - sigma_j) / s_j)^2]
        + RIDGE mean_d [skew_d^2 + tails_d^2 + sum_e C_de^2 / 2]

where ``p_j`` is the input of unit ``j`` in any normalization, ``mu_j`` and ``sigma_j`` are its running mean and
standard deviation, ``s_j`` is what the normalization divides it by, and ``C`` holds the off-diagonal correlations of
the normal scores. A unit of a convolution is a channel; its moments are over all positions. Where ranges, levels or
quantiles of features are declared, all features keep what is declared of each, and the correlations alone are found.
Not so of images with a declaration for each pixel: the moments of a channel over all positions do not tell apart the
pixels that the declaration does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from dfkd_tune.inputs.columns import axes_of, is_stationary
from dfkd_tune.inputs.dependence.copula import WIDEST
from dfkd_tune.inputs.dependence.rank_correlation import RankCorrelation
from dfkd_tune.inputs.marginals.sinh_arcsinh import SinhArcsinh
from dfkd_tune.inputs.prior import InferredPrior, Inputs
from dfkd_tune.ops.batch_norm import BatchNormStats, moments_of
from dfkd_tune.ops.lbfgs import descend
from dfkd_tune.prior_inference.rank_correlation import rank_rows
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.utils import hardware

DESCRIPTION = (
    "how each feature is distributed and how they go together was found from the teacher's batch normalization"
)
TOGETHER = "how features go together was found from the teacher's batch normalization"
SOBOL_POINTS = 2_048
"""Number of Sobol points from which the moments are computed."""
EVALUATIONS = 80
"""Number of evaluations of the teacher and its gradient on these points, in L-BFGS."""
RIDGE = 1e-4
MISMATCH = 0.1
"""Largest root mean square of the terms above; beyond it no inputs have such moments, as in an untrained network."""
LARGEST = 2_000_000
"""Largest number of parameters of a teacher; inference would take too long beyond it."""
SCORES = 4.5
"""Limit of normal scores during the fit, in standard deviations."""


# With more threads, sums would depend on their order, and banks would differ between processes.
@hardware.threads(1)
def infer(teacher: Teacher, inputs: Inputs) -> Inputs | None:
    """Infer a prior from batch normalization; None if the teacher has none or the fit fails.

    Args:
        teacher: the teacher in raw units.
        inputs: the declared inputs, without a dependence.
    """
    module, width = teacher.function, len(inputs)
    small = width <= WIDEST and (teacher.parameters or 0) <= LARGEST
    if not isinstance(module, nn.Module) or not small or width < 2 or inputs.simplex or inputs.gapped:
        return None
    points = torch.quasirandom.SobolEngine(width, scramble=True, seed=0).draw(SOBOL_POINTS, dtype=torch.float64)
    scores = torch.special.ndtri(points).clamp(-SCORES, SCORES)
    try:  # two rows suffice to see whether the teacher normalizes at all
        if not _listen(teacher, inputs, scores[:2]) or not _listen(teacher, inputs, scores):
            return None
    except Exception:
        return None  # the probe reports what is wrong
    if not bool(inputs.open_ended.all()):
        if any(axes.kind == "grid" and not is_stationary(inputs, axes) for axes in axes_of(inputs)):
            return None
        together = _together(teacher, inputs, scores)
        inferred = InferredPrior(TOGETHER, inputs)
        return None if together is None else inputs.replaced(dependence=together, inferred=inferred)
    shape = _fit(teacher, inputs, scores)
    inferred = None if shape is None else InferredPrior(DESCRIPTION, inputs, shape)
    return None if inferred is None else inputs.replaced(inferred=inferred)


def _listen(teacher: Teacher, inputs: Inputs, z: Tensor) -> list[BatchNormStats]:
    """Evaluate standardized rows ``(N, D)`` and return the moments at each batch normalization that depends on them."""
    return moments_of(partial(teacher.guard.once, teacher.source, teacher.function), inputs.raw(z, teacher.dtype))


def _fit(teacher: Teacher, inputs: Inputs, scores: Tensor) -> SinhArcsinh | None:
    """The distribution whose moments are nearest; None if they are not near."""
    width = len(inputs)
    mixing = torch.eye(width, dtype=torch.float64).requires_grad_()
    skew, tails = (torch.zeros(width, dtype=torch.float64).requires_grad_() for _ in range(2))

    def family() -> SinhArcsinh:
        return SinhArcsinh(_unit(mixing), skew, tails)

    def rows() -> Tensor:
        return family().push(scores)

    def penalty() -> Tensor:
        return (skew.square().sum() + tails.square().sum()) / width + _squares(mixing)

    if not _matched(teacher, inputs, [mixing, skew, tails], rows, penalty):
        return None
    found = family()
    return SinhArcsinh(*(part.detach() for part in (found.mixing, found.skew, found.tails)))


def _together(teacher: Teacher, inputs: Inputs, scores: Tensor) -> RankCorrelation | None:
    """The rank correlations of features with their declared distributions whose moments are nearest; None if they are not near."""
    mixing = torch.eye(len(inputs), dtype=torch.float64).requires_grad_()

    def rows() -> Tensor:
        return inputs.quantile(torch.special.ndtr(scores @ _unit(mixing).T))

    if not _matched(teacher, inputs, [mixing], rows, lambda: _squares(mixing)):
        return None
    found = _unit(mixing.detach())
    latent = found @ found.T
    latent[inputs.nominal], latent[:, inputs.nominal] = 0.0, 0.0  # levels without an order have no rank
    return RankCorrelation(rank_rows(latent))


def _matched(
    teacher: Teacher, inputs: Inputs, leaves: list[Tensor], rows: Callable[[], Tensor], penalty: Callable[[], Tensor]
) -> bool:
    """Fit the moments of ``rows`` by changing ``leaves``; returns whether the moments are near."""

    def mismatch() -> Tensor:
        heard = _listen(teacher, inputs, rows())
        return torch.cat([each.terms() for each in heard]).square().mean()

    descend(leaves, lambda: mismatch() + RIDGE * penalty(), EVALUATIONS)
    with torch.no_grad():
        return bool(mismatch().sqrt() < MISMATCH)  # False for NaN


def _unit(mixing: Tensor) -> Tensor:
    """A mixing with rows of length 1."""
    return mixing / mixing.norm(dim=1, keepdim=True)


def _squares(mixing: Tensor) -> Tensor:
    """Half the mean over features of the sum of their squared correlations with the others."""
    mixed = _unit(mixing)
    return ((mixed @ mixed.T).square().sum() - len(mixed)) / 2 / len(mixed)
