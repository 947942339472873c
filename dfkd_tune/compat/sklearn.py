"""Private parts of scikit-learn: base classes that it does not export, and fitted attributes without a public name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.ensemble._gb import BaseGradientBoosting
from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.svm._base import BaseLibSVM
from sklearn.tree._tree import Tree

__all__ = ["BaseGradientBoosting", "BaseHistGradientBoosting", "BaseLibSVM", "Tree", "TreePredictor"]

BOOSTED = ("_predictors", "_bin_mapper")
"""Attributes of a fitted ``HistGradientBoostingRegressor``."""
SUPPORT_VECTORS = ("_sparse", "_dual_coef_", "_n_support", "_intercept_", "_probA", "_probB")
"""Attributes of a fitted support vector machine."""
COMPILED = ("_impl", "_sparse_kernels")
"""Attributes of a class that say which compiled code a support vector machine calls."""


def boosted_trees(estimator: BaseHistGradientBoosting) -> Iterator[Any]:
    """The trees of all stages; none before a fit."""
    return (tree for stage in getattr(estimator, "_predictors", ()) for tree in stage)


def is_boosted(estimator: BaseHistGradientBoosting) -> bool:
    """Whether it was fitted."""
    return hasattr(estimator, "_predictors")


def categorical_features(estimator: BaseHistGradientBoosting) -> np.ndarray:
    """``(D,)``, which features its bins take for categories."""
    return np.asarray(estimator._bin_mapper.is_categorical_)


def is_sparse(machine: BaseLibSVM) -> bool:
    """Whether a support vector machine was fitted on a sparse matrix, or does not say that it was not."""
    return machine._sparse is not False


def dual_coefficients(machine: BaseLibSVM) -> np.ndarray:
    """``(1, n)``, the weights of the support vectors of a regression."""
    return np.asarray(machine._dual_coef_)


def support_counts(machine: BaseLibSVM) -> np.ndarray:
    """``(2,)``, how many support vectors lie on each side."""
    return machine._n_support


def intercepts(machine: BaseLibSVM) -> np.ndarray:
    """``(1,)`` of a regression."""
    return machine._intercept_


def probabilities(machine: BaseLibSVM) -> tuple[np.ndarray, np.ndarray]:
    """What Platt's scaling fitted; both are empty for a regression."""
    return machine._probA, machine._probB
