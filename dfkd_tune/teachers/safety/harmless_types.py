"""The types that a ``.skops`` file may hold in addition to those that skops trusts, and why each is harmless.

skops sets attributes and calls only ``__new__`` and ``__setstate__`` of a type. For the types listed here, this
executes no text and opens no file. SciPy's distributions are not listed, because they execute text that is stored in
them.
"""

from __future__ import annotations

from collections.abc import Iterable

# Plain Python over arrays: __init__ stores hyper-parameters, __call__ computes a covariance.
KERNELS = (
    *("CompoundKernel", "ConstantKernel", "DotProduct", "ExpSineSquared", "Exponentiation", "Hyperparameter", "Matern"),
    *("PairwiseKernel", "Product", "RationalQuadratic", "RBF", "Sum", "WhiteKernel"),
)
# Plain Python that returns indices; used only in the fit of a search.
SPLITTERS = (
    *("GroupKFold", "GroupShuffleSplit", "KFold", "LeaveOneGroupOut", "LeaveOneOut", "LeavePGroupsOut", "LeavePOut"),
    *("PredefinedSplit", "RepeatedKFold", "RepeatedStratifiedKFold", "ShuffleSplit", "StratifiedGroupKFold"),
    *("StratifiedKFold", "StratifiedShuffleSplit", "TimeSeriesSplit", "_CVIterableWrapper"),
)
# Functions of two arrays; a scorer calls them only in the fit or score of a search.
METRICS = (
    *("d2_absolute_error_score", "d2_pinball_score", "d2_tweedie_score", "explained_variance_score", "max_error"),
    *("mean_absolute_error", "mean_absolute_percentage_error", "mean_gamma_deviance", "mean_pinball_loss"),
    *("mean_poisson_deviance", "mean_squared_error", "mean_squared_log_error", "mean_tweedie_deviance", "r2_score"),
    *("median_absolute_error", "root_mean_squared_error", "root_mean_squared_log_error"),
)
SCORERS = ("_BaseScorer", "_MultimetricScorer", "_PassthroughScorer", "_Scorer")
# Functions of two arrays; a selector calls them only in its fit.
SELECTION = (
    "_univariate_selection.f_regression",
    "_univariate_selection.r_regression",
    "_mutual_info.mutual_info_regression",
)
# Records and dictionaries with names.
RECORDS = (
    "numpy.dtype",
    "sklearn.utils._bunch.Bunch",
    "sklearn.impute._iterative._ImputerTriplet",
    "sklearn.compose._column_transformer._RemainderColsList",
    "sklearn.compose._column_transformer.make_column_selector",
)
# Estimators that scikit-learn calls experimental, but that are as harmless as the others.
ESTIMATORS = (
    "sklearn.impute._iterative.IterativeImputer",
    "sklearn.model_selection._search_successive_halving.HalvingGridSearchCV",
    "sklearn.model_selection._search_successive_halving.HalvingRandomSearchCV",
)
# Plain Python that holds the optimizer state of a network's training.
OPTIMIZERS = ("AdamOptimizer", "BaseOptimizer", "SGDOptimizer")
LOSSES = ("HalfTweedieLoss", "HalfTweedieLossIdentity")
# Compiled code uses their contents without checks, so sound() checks them before the first query.
WALKED = (
    "scipy.interpolate._bsplines.BSpline",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.ChebyshevDistance64",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.tree._tree.Tree",
)
# Functions that convert to arrays, and partial, which binds their arguments; splines and categorical trees hold them.
CONVERSIONS = (
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "sklearn.utils.validation.check_array",
    "functools.partial",
)

HARMLESS = frozenset(
    (
        *(f"sklearn.gaussian_process.kernels.{name}" for name in KERNELS),
        *(f"sklearn.model_selection._split.{name}" for name in SPLITTERS),
        *(f"sklearn.metrics._regression.{name}" for name in METRICS),
        *(f"sklearn.metrics._scorer.{name}" for name in SCORERS),
        *(f"sklearn.feature_selection.{name}" for name in SELECTION),
        *(f"sklearn.neural_network._stochastic_optimizers.{name}" for name in OPTIMIZERS),
        *(f"sklearn._loss.loss.{name}" for name in LOSSES),
        *RECORDS,
        *ESTIMATORS,
        *WALKED,
        *CONVERSIONS,
    )
)
"""Names as skops writes them."""

REASONS = {
    "scipy.stats.": (
        "SciPy's distributions, which execute text stored in them",
        "save the fitted model alone: skops.io.dump(search.best_estimator_, FILE)",
    ),
    "sklearn.metrics._dist_metrics.": (
        "a metric with arrays of its own, which scikit-learn reads without a check",
        "fit it with algorithm='brute'",
    ),
    "scipy.sparse.": ("a sparse matrix, whose indices SciPy does not check", "fit it on dense arrays"),
    "sklearn.": ("a type of scikit-learn that is not known to be harmless", None),
    "numpy.": ("something of NumPy that is not known to be harmless", None),
    "scipy.": ("something of SciPy that is not known to be harmless", None),
    "": ("code from outside of scikit-learn, which would run", None),
}
"""Prefix of a name -> description, and remedy other than trust."""


def refusal(names: Iterable[str]) -> tuple[str, str]:
    """Rule and remedy of the error for names that are not ``HARMLESS``."""
    told: dict[str, list[str]] = {}
    for name in names:
        told.setdefault(next(start for start in REASONS if name.startswith(start)), []).append(name)
    rule = "; ".join(f"holds {', '.join(found)}: {REASONS[start][0]}" for start, found in told.items())
    helps = [REASONS[start][1] for start in told if REASONS[start][1]]
    return rule[:500], ", or ".join([*helps, "--trust-pickle if you trust its author"])
