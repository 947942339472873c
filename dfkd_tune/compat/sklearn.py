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
"""Class attributes that select the compiled code of a support vector machine."""


def boosted_trees(estimator: BaseHistGradientBoosting) -> Iterator[Any]:
    """The trees of all stages; empty before the fit."""
    return (tree for stage in getattr(estimator, "_predictors", ()) for tree in stage)


def is_boosted(estimator: BaseHistGradientBoosting) -> bool:
    """Whether the estimator is fitted."""
    return hasattr(estimator, "_predictors")


def categorical_features(estimator: BaseHistGradientBoosting) -> np.ndarray:
    """Mask ``(D,)`` of the features that are binned as categories."""
    return np.asarray(estimator._bin_mapper.is_categorical_)


def columns_of_trees(estimator: BaseHistGradientBoosting) -> np.ndarray:
    """Numbers ``(D,)`` of the table's columns in the order in which the trees have them: columns of categories come first there."""
    if category_encoder(estimator) is None:
        return np.arange(estimator.n_features_in_)
    categorical = np.asarray(estimator.is_categorical_)
    return np.concatenate([np.flatnonzero(categorical), np.flatnonzero(~categorical)])


def category_encoder(estimator: BaseHistGradientBoosting) -> Any:
    """The column transformer that encodes the category columns of a data frame; None if there are none."""
    return getattr(estimator, "_preprocessor", None)


def is_sparse(machine: BaseLibSVM) -> bool:
    """Whether a support vector machine was fitted on a sparse matrix; True if it does not say."""
    return machine._sparse is not False


def dual_coefficients(machine: BaseLibSVM) -> np.ndarray:
    """Weights ``(1, n)`` of the support vectors of a regressor."""
    return np.asarray(machine._dual_coef_)


def support_counts(machine: BaseLibSVM) -> np.ndarray:
    """Number of support vectors on each side, ``(2,)``."""
    return machine._n_support


def intercepts(machine: BaseLibSVM) -> np.ndarray:
    """Intercept ``(1,)`` of a regressor."""
    return machine._intercept_


def probabilities(machine: BaseLibSVM) -> tuple[np.ndarray, np.ndarray]:
    """Parameters of Platt scaling; both are empty for a regressor."""
    return machine._probA, machine._probB
