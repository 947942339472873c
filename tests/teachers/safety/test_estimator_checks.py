"""scikit-learn's own types: what its library saves loads without trust, and what would lead compiled code astray is refused first."""

import numpy as np
import pytest
import skops.io
import torch
from estimators import HARMLESS, TREES, X, Y, saved
from sklearn import ensemble, linear_model, model_selection, svm
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    StandardScaler,
)
from teacher_files import fails

from dfkd_tune.teachers.loader import load_teacher


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", HARMLESS)
def test_what_scikit_learn_saves_by_skops_loads_without_trust_and_answers_as_it_did(tmp_path, name):
    estimator = HARMLESS[name].fit(X, np.stack([Y, -Y], 1) if name == "several outputs" else Y)
    teacher = load_teacher(saved(tmp_path / "model.skops", estimator))
    expected = estimator.predict(X).reshape(len(X), -1)
    assert np.array_equal(teacher(torch.from_numpy(X)).numpy(), expected) and teacher.width == 3


def test_a_method_may_not_be_replaced(tmp_path):
    estimator = TREES["forest"]()
    estimator.estimators_[0]._validate_X_predict = np.add
    path = saved(tmp_path / "model.skops", estimator)
    with fails(path, "_validate_X_predict", "takes the place of its own"):
        load_teacher(path)


@pytest.mark.parametrize(
    ("place", "change", "words"),
    [
        (1, lambda order: order + 1000, "outside of their rows"),
        (2, lambda nodes: with_field(nodes, "idx_end", 10**9), "rows that are not there"),
        (2, lambda nodes: with_field(nodes, "is_leaf", 0), "children that are not there"),
        (3, lambda bounds: bounds[..., :1].copy(), "other bounds"),
        (6, lambda count: count + 9, "another number of nodes"),
    ],
)
@pytest.mark.parametrize("kind", ["k-d tree", "ball tree"])
def test_neighbors_that_lead_astray_are_refused(tmp_path, kind, place, change, words):
    estimator = HARMLESS[kind].fit(X, Y)
    held = list(estimator._tree.__getstate__())
    held[place] = change(held[place])
    made = type(estimator._tree).__new__(type(estimator._tree))
    made.__setstate__(tuple(held))
    estimator._tree = made
    path = saved(tmp_path / "model.skops", estimator)
    with fails(path, words):
        load_teacher(path)


def with_field(nodes, name, value):
    nodes = nodes.copy()
    nodes[name] = value
    return nodes


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("_n_support", np.array([10**6, 0], dtype=np.int32), "not theirs"),
        ("_dual_coef_", np.zeros((1, 3)), "weights differ"),
        ("support_vectors_", np.zeros((4, 9)), "another number of features"),
        ("_impl", "c_svc", "takes the place"),
    ],
)
def test_support_vectors_that_lead_astray_are_refused(tmp_path, name, value, words):
    estimator = svm.SVR().fit(X, Y)
    setattr(estimator, name, value)
    path = saved(tmp_path / "model.skops", estimator)
    with fails(path, words):
        load_teacher(path)


def test_a_spline_with_too_few_knots_is_refused(tmp_path):
    estimator = HARMLESS["spline"].fit(X, Y)
    estimator[0].bsplines_[0].k = 40
    path = saved(tmp_path / "model.skops", estimator)
    with fails(path, "knots"):
        load_teacher(path)


@pytest.mark.parametrize(
    "estimator",
    [
        linear_model.LogisticRegression(),
        make_pipeline(StandardScaler(), linear_model.LogisticRegression()),
        ensemble.RandomForestClassifier(3),
        model_selection.GridSearchCV(linear_model.LogisticRegression(), {"C": [1.0, 2.0]}),
    ],
    ids=["linear", "pipeline", "forest", "search"],
)
def test_a_classifier_is_refused(tmp_path, estimator):
    skops.io.dump(estimator.fit(X, Y.mean() < Y), tmp_path / "classes.skops")
    with fails("classes.skops", "answers classes, not numbers", "predict_proba"):
        load_teacher(tmp_path / "classes.skops")
