"""Trees of scikit-learn: what would lead compiled code astray is refused before it is asked."""

import io
import json

import numpy as np
import pytest
import skops.io
from estimators import HARMLESS, TREES, X, Y, rewrite, saved
from sklearn import ensemble
from sklearn.tree._tree import Tree
from teacher_files import fails

from dfkd_tune.teachers.loader import load_teacher


def rebuilt(nodes_of, change):
    """A tree with its node array changed."""
    held = nodes_of.__getstate__()
    held["nodes"] = held["nodes"].copy()
    change(held["nodes"])
    made = Tree(nodes_of.n_features, np.array([1], dtype=np.intp), 1)
    made.__setstate__(held)
    return made


def outside(nodes):
    nodes["left_child"][0] = 10**6


def below_leaf(nodes):
    nodes["right_child"][0] = -5


def circle(nodes):
    nodes["left_child"][nodes["left_child"] > 0] = 0


def feature(nodes):
    nodes["feature"][0] = 999


def negative(nodes):
    nodes["feature"][0] = -7


def unknown(nodes):
    nodes["threshold"][0] = np.nan


def one_of(estimator):
    """A decision tree inside of an estimator."""
    if hasattr(estimator, "steps"):
        return estimator[-1]
    return np.ravel(getattr(estimator, "estimators_", [estimator]))[-1]


@pytest.mark.parametrize("kind", TREES)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (outside, "child that lies outside"),
        (below_leaf, "child that lies outside"),
        (circle, "leads back"),
        (feature, "feature that its 3 do not hold"),
        (negative, "feature that its 3 do not hold"),
        (unknown, "threshold that is no number"),
    ],
)
def test_a_tree_that_leads_astray_is_refused_before_it_is_asked(tmp_path, kind, change, words):
    estimator = TREES[kind]()
    member = one_of(estimator)
    member.tree_ = rebuilt(member.tree_, change)
    path = saved(tmp_path / "model.skops", estimator)
    with fails(path, "not what scikit-learn writes", words):
        load_teacher(path)


def test_a_tree_that_says_another_number_of_nodes_is_refused(tmp_path):
    estimator, data, path = TREES["tree"](), io.BytesIO(), tmp_path / "model.skops"
    skops.io.dump(estimator, data)

    def change(text):
        schema = json.loads(text)
        held = schema["content"]["content"]["tree_"]["content"]["content"]["node_count"]
        assert json.loads(held["content"]) == estimator.tree_.node_count
        held |= {"content": "3", "__id__": 1}  # a small number is shared with other parts
        return json.dumps(schema).encode()

    rewrite(data, path, "schema.json", change)
    with fails(path, "says it has 3 nodes, 15 are there"):
        load_teacher(path)


def test_trees_of_other_widths_than_their_ensemble_are_refused(tmp_path):
    estimator = TREES["gradient"]()
    wide = ensemble.GradientBoostingRegressor(n_estimators=2).fit(np.hstack([X, X]), Y)
    estimator.estimators_ = wide.estimators_
    path = saved(tmp_path / "model.skops", estimator)
    with fails(path, "another number of features than their ensemble"):
        load_teacher(path)
    estimator = TREES["tree"]()
    estimator.n_features_in_ = 2
    with fails(path, "other numbers of features"):
        load_teacher(saved(path, estimator))
    del estimator.n_features_in_
    with fails(path, "does not say how many features"):
        load_teacher(saved(path, estimator))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("left", 60000, "child that lies outside"),
        ("right", 0, "leads back"),
        ("feature_idx", 77, "feature that its 3 do not hold"),
        ("is_categorical", 1, "categories that it does not have"),
    ],
)
def test_a_histogram_tree_that_leads_astray_is_refused(tmp_path, field, value, words):
    estimator = HARMLESS["histogram"].fit(X, Y)
    estimator._predictors[1][0].nodes[field][0] = value
    path = saved(tmp_path / "model.skops", estimator)
    with fails(path, words):
        load_teacher(path)


def test_categories_beyond_their_sets_are_refused(tmp_path):
    estimator = HARMLESS["histogram by categories"].fit(X, Y)
    nodes = estimator._predictors[0][0].nodes
    assert nodes["is_categorical"].any()
    nodes["bitset_idx"][nodes["is_categorical"] != 0] = 50
    path = saved(tmp_path / "model.skops", estimator)
    with fails(path, "set of categories that is not there"):
        load_teacher(path)
