"""Boosted trees that were given in Python, as the files of their libraries."""

import numpy as np
import pytest
from lightgbm import LGBMRegressor
from sklearn.linear_model import LinearRegression
from xgboost import Booster, XGBRegressor

from dfkd_tune.teachers.boosted.model_files import is_boosted, model_file

X = np.random.default_rng(0).normal(size=(60, 2))
Y = X[:, 0] * X[:, 1]
SMALL = {"n_estimators": 2, "n_jobs": 1}


@pytest.mark.parametrize(
    ("model", "suffix", "begin"),
    [(XGBRegressor(**SMALL), ".ubj", b"{"), (LGBMRegressor(verbose=-1, **SMALL), ".txt", b"tree\nversion=")],
    ids=["xgboost", "lightgbm"],
)
def test_an_estimator_and_its_booster_have_one_file(model, suffix, begin):
    fitted = model.fit(X, Y)
    booster = fitted.booster_ if suffix == ".txt" else fitted.get_booster()
    assert is_boosted(fitted) and is_boosted(booster)
    found, data = model_file(fitted)
    assert found == suffix and data.startswith(begin) and model_file(fitted)[1] == data
    assert model_file(booster)[0] == suffix
    if suffix == ".ubj":
        assert Booster(model_file=bytearray(data)).num_boosted_rounds() == 2


def test_what_is_not_fitted_raises_what_its_library_raises():
    with pytest.raises(Exception, match="fit"):
        model_file(LGBMRegressor())


@pytest.mark.parametrize("model", [LinearRegression(), 7, np.zeros(2)])
def test_other_objects_are_none(model):
    assert not is_boosted(model)
