"""The first step of each column is found behind imputers, in column transformers, searches and transformed targets."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from dfkd_tune.teachers.signatures.first_steps import first_steps

FRAME = pd.DataFrame({"a": [1.0, np.nan, 3.0, 4.0], "b": [2.0, 1.0, 0.0, 5.0], "c": ["x", "y", "x", "y"]})
Y = np.arange(4.0)
PARTS = make_column_transformer(
    (make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), ["b", "a"]), (OneHotEncoder(), [2])
)
MODELS = {
    "pipeline": make_pipeline(PARTS, Ridge()),
    "target": TransformedTargetRegressor(make_pipeline("passthrough", PARTS, Ridge())),
    "search": GridSearchCV(make_pipeline(PARTS, Ridge()), {"ridge__alpha": [1.0]}, cv=2),
}


@pytest.mark.parametrize("name", MODELS)
def test_steps_are_found_with_their_columns(name):
    found = [*first_steps(MODELS[name].fit(FRAME, Y), ["a", "b", "c"])]
    assert [(type(each.step), each.columns, each.imputed) for each in found] == [
        (StandardScaler, ["b", "a"], True),
        (OneHotEncoder, ["c"], False),
    ]


def test_an_imputer_that_drops_a_column_hides_what_comes_after():
    frame = FRAME[["a", "b"]].assign(a=np.nan)
    with pytest.warns(UserWarning, match="any observed values"):
        model = make_pipeline(SimpleImputer(), StandardScaler(), Ridge()).fit(frame, Y)
        found = [*first_steps(model, ["a", "b"])]
    assert [type(each.step) for each in found] == [SimpleImputer]
