"""Types that a file of skops may hold: those that may do harm are named with the reason."""

import pytest
from estimators import RIDGE, X, Y, saved
from scipy.stats import loguniform
from sklearn import model_selection, neighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from teacher_files import fails

from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.safety.harmless_types import refusal


def identity(x):
    """A function of somebody's own."""
    return x


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (
            make_pipeline(FunctionTransformer(identity), RIDGE()),
            ["identity", "outside of scikit-learn", "--trust-pickle"],
        ),
        (
            model_selection.RandomizedSearchCV(RIDGE(), {"alpha": loguniform(0.1, 1)}, n_iter=2, cv=2),
            ["rv_continuous_frozen", "execute text", "best_estimator_"],
        ),
        (neighbors.KNeighborsRegressor(p=3), ["MinkowskiDistance64", "arrays of its own", "algorithm='brute'"]),
    ],
)
def test_what_may_do_harm_is_named_with_the_reason(tmp_path, estimator, words):
    path = saved(tmp_path / "model.skops", estimator.fit(X, Y))
    with fails(path, *words):
        load_teacher(path)
    assert load_teacher(path, trust_pickle=True).width == 3


def test_types_of_one_reason_are_told_together_and_trust_comes_last():
    rule, remedy = refusal(["mine.Model", "scipy.stats._norm", "yours.Model"])
    assert rule.startswith("holds mine.Model, yours.Model: code from outside of scikit-learn")
    assert rule.count("holds ") == 2 and "execute text" in rule
    assert remedy.endswith(", or --trust-pickle if you trust its author") and "best_estimator_" in remedy


def test_a_hundred_types_are_told_in_a_line():
    rule, _ = refusal([f"mine.Model{i}" for i in range(100)])
    assert len(rule) <= 500 and "\n" not in rule
