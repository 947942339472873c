"""Read the splits of tree ensembles: feature, threshold, and counts of training rows on both sides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dfkd_tune.teachers.boosted.boosted_trees import BoostedTrees, Tree

TREES = 200
"""Largest number of trees that are read, evenly spread over the ensemble."""
LEAST_FRACTION = 1 / 500
"""Smallest share of the training rows at a split; smaller splits are many and say little."""


@dataclass(frozen=True)
class Split:
    """One cut of one feature.

    Args:
        feature, threshold: index of the feature, and threshold in raw units.
        below, above: number of training rows on either side.
        parent: index of the parent split, which comes earlier in the list; -1 at a root.
        went_below: whether rows come from the lower side of the parent.
        low, high: bounds of the feature for rows at this split, from splits above.
        depth: number of splits above.
    """

    feature: int
    threshold: float
    below: float
    above: float
    parent: int
    went_below: bool
    low: float
    high: float
    depth: int

    @property
    def rows(self) -> float:
        """Number of training rows at this split."""
        return self.below + self.above


def splits_of(estimator: Any) -> list[Split]:
    """All splits of an estimator with enough rows, parents before children; empty without trees."""
    trees = list(_trees(estimator))
    if len(trees) > TREES:
        trees = [trees[round(i)] for i in np.linspace(0, len(trees) - 1, TREES)]
    return [] if not trees else _read(trees)


def _read(trees: list[Tree]) -> list[Split]:
    found: list[Split] = []
    for tree in trees:
        least = LEAST_FRACTION * tree.rows[0]
        waiting: list[tuple[int, int, bool, int, dict[int, tuple[float, float]]]] = [(0, -1, False, 0, {})]
        while waiting:
            node, parent, went_below, depth, between = waiting.pop()
            if (feature := int(tree.feature[node])) < 0 or tree.rows[node] < least:
                continue
            threshold, left, right = float(tree.threshold[node]), int(tree.left[node]), int(tree.right[node])
            if tree.by_set is not None and tree.by_set[node]:  # what lies below is read as if it were not there
                waiting += [(child, parent, went_below, depth, between) for child in (left, right)]
                continue
            if not np.isfinite(threshold):  # it separates rows with a missing value
                continue
            low, high = between.get(feature, (-np.inf, np.inf))
            below, above = float(tree.rows[left]), float(tree.rows[right])
            here = len(found)
            found.append(Split(feature, threshold, below, above, parent, went_below, low, high, depth))
            waiting.append((left, here, True, depth + 1, between | {feature: (low, threshold)}))
            waiting.append((right, here, False, depth + 1, between | {feature: (threshold, high)}))
    return found


def _trees(estimator: Any) -> Iterator[Tree]:
    """Yield the trees of an estimator, with thresholds in the units of its inputs."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.ensemble import BaseEnsemble, HistGradientBoostingRegressor, StackingRegressor, VotingRegressor
    from sklearn.multioutput import MultiOutputRegressor
    from sklearn.pipeline import Pipeline
    from sklearn.tree import DecisionTreeRegressor

    from dfkd_tune.compat.sklearn import boosted_trees, columns_of_trees

    if isinstance(estimator, BoostedTrees):
        yield from (tree for tree in estimator.trees() if tree.rows[0] > 0)
    elif isinstance(estimator, DecisionTreeRegressor):
        yield _of_tree(estimator.tree_)
    elif isinstance(estimator, HistGradientBoostingRegressor):
        columns = columns_of_trees(estimator)
        for predictor in boosted_trees(estimator):
            if not predictor.nodes["is_categorical"].any():
                yield _of_histogram(predictor.nodes, columns)
    elif isinstance(estimator, BaseEnsemble | StackingRegressor | VotingRegressor | MultiOutputRegressor):
        yield from _of_ensemble(estimator)
    elif isinstance(estimator, TransformedTargetRegressor):
        yield from _trees(estimator.regressor_)
    elif isinstance(estimator, Pipeline):
        yield from _of_pipeline(estimator)
    elif (best := getattr(estimator, "best_estimator_", None)) is not None:  # of a search
        yield from _trees(best)


def _of_ensemble(ensemble: Any) -> Iterator[Tree]:
    chosen = getattr(ensemble, "estimators_features_", None)  # members of a bag may receive different features
    if chosen is None or all(np.array_equal(each, np.arange(ensemble.n_features_in_)) for each in chosen):
        for member in np.ravel(np.asarray(ensemble.estimators_, dtype=object)):
            yield from _trees(member)


def _of_tree(tree: Any) -> Tree:
    inner = tree.children_left >= 0
    feature = np.where(inner, tree.feature, -1)
    return Tree(feature, tree.threshold, tree.children_left, tree.children_right, tree.weighted_n_node_samples)


def _of_histogram(nodes: np.ndarray, columns: np.ndarray) -> Tree:
    feature = np.where(nodes["is_leaf"].astype(bool), -1, columns[nodes["feature_idx"].astype(np.int64)])
    return Tree(feature, nodes["num_threshold"], nodes["left"], nodes["right"], nodes["count"].astype(np.float64))


def _of_pipeline(pipeline: Any) -> Iterator[Tree]:
    """Yield the trees after feature-wise scalers, with thresholds converted to raw units."""
    from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

    *before, (_, last) = pipeline.steps
    scalers = [step for _, step in before if step is not None and step != "passthrough"]
    if not all(isinstance(scaler, MaxAbsScaler | MinMaxScaler | RobustScaler | StandardScaler) for scaler in scalers):
        return
    for tree in _trees(last):
        points = np.zeros((len(tree.feature), pipeline.n_features_in_))
        inner = tree.feature >= 0
        points[inner, tree.feature[inner]] = tree.threshold[inner]
        for scaler in reversed(scalers):
            points = scaler.inverse_transform(points)
        raw = np.where(inner, points[np.arange(len(points)), np.maximum(tree.feature, 0)], 0.0)
        yield Tree(tree.feature, raw, tree.left, tree.right, tree.rows)
