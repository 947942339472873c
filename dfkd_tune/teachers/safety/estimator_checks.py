"""Check the structures of an untrusted estimator that scikit-learn's compiled code uses without checks.

A child outside of its tree or a feature that rows do not have makes a prediction read invalid memory. A cycle of nodes
makes it run forever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import FunctionType
from typing import Any

import numpy as np
from scipy.interpolate import BSpline
from sklearn.base import BaseEstimator
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.neighbors import BallTree, KDTree
from sklearn.tree import BaseDecisionTree

from dfkd_tune.compat import sklearn as private
from dfkd_tune.compat.sklearn import BaseGradientBoosting, BaseHistGradientBoosting, BaseLibSVM, Tree, TreePredictor

LEAF = -1
METRICS = ("ChebyshevDistance64", "EuclideanDistance64", "ManhattanDistance64")
"""Metrics that hold no arrays."""


class Unsound(ValueError):
    """An estimator would make compiled code access invalid memory."""


def sound(root: Any) -> None:
    """Check every part of an estimator that compiled code uses without checks.

    Raises:
        Unsound: a part is invalid; the message names it.
    """
    parts = list(_parts(root))
    owned = {id(tree) for part in parts for tree in _trees_of(part)}
    for part in parts:
        if isinstance(part, Tree | TreePredictor) and id(part) not in owned:
            raise Unsound(f"a {type(part).__name__} belongs to no estimator")
        for kind, check in CHECKS.items():
            if isinstance(part, kind):
                check(part)


def _parts(root: Any) -> Iterator[Any]:
    """Yield every object that is reachable through attributes and containers, each once."""
    seen: set[int] = set()
    left = [root]
    while left:
        part = left.pop()
        if id(part) in seen or isinstance(part, str | bytes | int | float | type | FunctionType | np.ufunc | None):
            continue
        seen.add(id(part))
        yield part
        if isinstance(part, dict):
            left += [*part.keys(), *part.values()]
        elif isinstance(part, list | tuple | set | frozenset):
            left += part
        elif isinstance(part, np.ndarray) and part.dtype.hasobject:
            left += part.ravel().tolist()
        elif isinstance(part, partial):
            left += [part.func, part.args, part.keywords]
        left += getattr(part, "__dict__", {}).values()


def _trees_of(part: Any) -> Iterator[Any]:
    """The trees of an estimator that checks the width of rows before it evaluates them."""
    if isinstance(part, BaseDecisionTree):
        yield getattr(part, "tree_", None)
    elif isinstance(part, BaseHistGradientBoosting):
        yield from private.boosted_trees(part)


def _own_methods(part: BaseEstimator) -> None:
    for name in vars(part):
        if callable(getattr(type(part), name, None)) or name in private.COMPILED:
            raise Unsound(f"the attribute {name!r} of a {type(part).__name__} takes the place of its own")


def _features_of(part: Any) -> int:
    count = vars(part).get("n_features_in_")
    _hold(type(count) is int and count > 0, f"a {type(part).__name__} does not say how many features it takes")
    return count


def _decision_tree(part: BaseDecisionTree) -> None:
    tree = getattr(part, "tree_", None)
    if tree is None:
        return
    _hold(isinstance(tree, Tree), "a decision tree holds something else than its nodes")
    _hold(tree.n_features == _features_of(part), "a decision tree and its nodes take other numbers of features")
    # First of all, because the arrays below are created with this length.
    _hold(
        0 < tree.node_count == tree.capacity, f"a tree says it has {tree.node_count} nodes, {tree.capacity} are there"
    )
    _hold(tree.n_outputs > 0 and tree.max_n_classes > 0, "a tree has no outputs")
    left, right = tree.children_left, tree.children_right
    inner = left != LEAF
    _children(left[inner], right[inner], np.flatnonzero(inner), tree.node_count)
    _splits(tree.feature[inner], tree.threshold[inner], tree.n_features)


def _children(left: np.ndarray, right: np.ndarray, parents: np.ndarray, count: int) -> None:
    """Check that children come after their parents, so that no child is outside of the tree and there is no cycle."""
    for child in (left.astype(np.int64), right.astype(np.int64)):
        _hold(((child > parents) & (child < count)).all(), "a tree has a child that lies outside of it, or leads back")


def _splits(features: np.ndarray, thresholds: np.ndarray, width: int) -> None:
    features = features.astype(np.int64)
    _hold(((features >= 0) & (features < width)).all(), f"a tree asks for a feature that its {width} do not hold")
    _hold(not np.isnan(thresholds).any(), "a tree splits at a threshold that is no number")


def _boosted(part: BaseGradientBoosting) -> None:
    if not hasattr(part, "estimators_"):
        return
    _hold(isinstance(part, GradientBoostingRegressor), "a GradientBoostingClassifier answers classes, not numbers")
    stages, width = part.estimators_, _features_of(part)
    _hold(isinstance(stages, np.ndarray) and stages.ndim == 2 and stages.shape[1] == 1, "trees are not in one column")
    for tree in stages.ravel():
        _hold(
            isinstance(tree, BaseDecisionTree) and hasattr(tree, "tree_"), "something else stands among boosted trees"
        )
        _hold(_features_of(tree) == width, "boosted trees take another number of features than their ensemble")
        _hold(tree.tree_.n_outputs == tree.tree_.max_n_classes == 1, "boosted trees have more than one output")


def _binned(part: BaseHistGradientBoosting) -> None:
    if not private.is_boosted(part):
        return
    _hold(
        isinstance(part, HistGradientBoostingRegressor), "a HistGradientBoostingClassifier answers classes, not numbers"
    )
    width = _features_of(part)
    categorical = private.categorical_features(part)
    _hold(
        categorical.shape == (width,) and categorical.dtype.kind in "bu", "its bins are of another number of features"
    )
    for tree in _trees_of(part):
        _hold(isinstance(tree, TreePredictor), "something else stands among boosted trees")
        nodes, bits = tree.nodes, tree.raw_left_cat_bitsets
        _hold(isinstance(nodes, np.ndarray) and nodes.ndim == 1 and len(nodes) > 0, "a tree has no nodes")
        inner = nodes["is_leaf"] == 0
        found = nodes[inner]
        _children(found["left"], found["right"], np.flatnonzero(inner), len(nodes))
        thresholds = np.where(found["is_categorical"] != 0, 0.0, found["num_threshold"])
        _splits(found["feature_idx"], thresholds, width)
        by_set = found[found["is_categorical"] != 0]
        _hold(
            (categorical[by_set["feature_idx"]] != 0).all(),
            "a tree splits a feature by categories that it does not have",
        )
        _hold(isinstance(bits, np.ndarray) and bits.ndim == 2 and bits.shape[1] == 8, "categories are not sets of 256")
        _hold((by_set["bitset_idx"] < len(bits)).all(), "a tree asks for a set of categories that is not there")


def _neighbors(part: Any) -> None:
    data, order, nodes, bounds, _, _, count, *_, metric, _ = part.__getstate__()
    rows, width = data.shape
    _hold(
        type(metric).__name__ in METRICS,
        f"a {type(part).__name__} measures by {type(metric).__name__}, which holds arrays of its own",
    )
    _hold(order.shape == (rows,) and ((order >= 0) & (order < rows)).all(), "neighbors lie outside of their rows")
    _hold(count == len(nodes) > 0, "a tree of neighbors has another number of nodes than it says")
    _hold(
        bounds.shape == (2 if isinstance(part, KDTree) else 1, count, width), "nodes have other bounds than they need"
    )
    start, end = nodes["idx_start"], nodes["idx_end"]
    _hold(((start >= 0) & (start <= end) & (end <= rows)).all(), "a node of neighbors holds rows that are not there")
    _hold(
        (nodes["is_leaf"][2 * np.arange(count) + 2 >= count] != 0).all(),
        "a node of neighbors has children that are not there",
    )


def _support_vectors(part: BaseLibSVM) -> None:
    if not hasattr(part, "support_vectors_"):
        return
    vectors, width = part.support_vectors_, _features_of(part)
    count = len(vectors)
    _hold(
        not private.is_sparse(part) and isinstance(vectors, np.ndarray) and vectors.ndim == 2,
        "support vectors are sparse",
    )
    _hold(vectors.shape[1] == width or part.kernel == "precomputed", "support vectors have another number of features")
    _hold(isinstance(part.kernel, str), "its kernel is a function")
    _hold(
        private.dual_coefficients(part).shape == (1, count) and part.support_.shape == (count,),
        "support vectors and weights differ",
    )
    counts = private.support_counts(part)
    _hold(counts.shape == (2,) and (counts >= 0).all(), "counts of support vectors are not two")
    _hold(counts.sum() in (count, 2 * count), "counts of support vectors are not theirs")
    _hold(
        np.shape(private.intercepts(part)) == (1,), "a support vector machine has another number of intercepts than one"
    )
    _hold(all(np.size(each) == 0 for each in private.probabilities(part)), "a regression says probabilities")


def _spline(part: BSpline) -> None:
    t, c, k = part.t, part.c, part.k
    _hold(type(k) is int and 0 <= k <= 64 and t.ndim == 1 and c.ndim >= 1, "a spline has no degree, or no knots")
    _hold(
        len(t) >= 2 * k + 2 and len(c) >= len(t) - k - 1,
        "a spline has other numbers of knots and coefficients than it needs",
    )
    _hold(np.isfinite(t).all() and (np.diff(t) >= 0).all(), "the knots of a spline are not in order")
    _hold(c.size % len(c) == 0 and 0 <= part.axis < c.ndim, "a spline has an axis that is not there")


def _hold(holds: Any, otherwise: str) -> None:
    if not holds:
        raise Unsound(otherwise)


CHECKS: dict[Any, Callable[[Any], None]] = {
    BaseEstimator: _own_methods,
    BaseDecisionTree: _decision_tree,
    BaseGradientBoosting: _boosted,
    BaseHistGradientBoosting: _binned,
    KDTree | BallTree: _neighbors,
    BaseLibSVM: _support_vectors,
    BSpline: _spline,
}
"""Type -> check, in this order: a check relies on earlier ones."""
