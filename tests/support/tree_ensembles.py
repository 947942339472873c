"""Fitted tree ensembles of scikit-learn, and the rows that they were fitted on."""

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
    VotingRegressor,
)
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeRegressor
from skops.io import dump

from dfkd_tune.teachers.loader import load_teacher

UNITS = np.array([1.0, 40.0, 0.01, 1.0, 1.0]), np.array([0.0, 300.0, 0.0, 5.0, -1.0])
"""Scale and shift of each feature."""


def table(rows: int = 4_000) -> tuple[np.ndarray, np.ndarray]:
    """The first two features go together, the third runs against them and is lognormal, the fourth is uniform, the last a rare switch."""
    rng = np.random.default_rng(0)
    s = rng.standard_normal((rows, 5))
    common = s[:, 0]
    x = np.stack(
        [
            common,
            0.8 * common + 0.6 * s[:, 1],
            np.exp(-0.6 * common + 0.8 * s[:, 2]),
            rng.uniform(-1, 1, rows),
            (s[:, 4] > 1.3).astype(float),
        ],
        axis=1,
    )
    y = np.sin(2 * x[:, 0]) + x[:, 1] * np.tanh(x[:, 2]) + x[:, 3] ** 2 + x[:, 4] * x[:, 0]
    return x * UNITS[0] + UNITS[1], y


X, Y = table()
SMALL = {"max_leaf_nodes": 30, "random_state": 0}
ENSEMBLES = {
    "tree": lambda: DecisionTreeRegressor(**SMALL),
    "boosted": lambda: GradientBoostingRegressor(n_estimators=20, max_depth=4, random_state=0),
    "histogram": lambda: HistGradientBoostingRegressor(max_iter=20, random_state=0),
    "voting": lambda: VotingRegressor([("tree", DecisionTreeRegressor(**SMALL)), ("line", LinearRegression())]),
    "target": lambda: TransformedTargetRegressor(DecisionTreeRegressor(**SMALL), transformer=StandardScaler()),
    "scaled": lambda: make_pipeline(StandardScaler(), MinMaxScaler(), DecisionTreeRegressor(**SMALL)),
    "search": lambda: GridSearchCV(DecisionTreeRegressor(**SMALL), {"max_features": [3, 4]}, cv=2),
    "categories last": lambda: HistGradientBoostingRegressor(max_iter=40, max_leaf_nodes=4, categorical_features=[4]),
    "outputs": lambda: MultiOutputRegressor(DecisionTreeRegressor(**SMALL)),
}
"""Of estimators each of whose trees saw every row once."""
BAGGED = {
    "forest": lambda: RandomForestRegressor(n_estimators=20, min_samples_leaf=5, random_state=0),
    "extra": lambda: ExtraTreesRegressor(n_estimators=20, min_samples_leaf=5, bootstrap=True, random_state=0),
    "bag": lambda: BaggingRegressor(DecisionTreeRegressor(min_samples_leaf=5), n_estimators=10, random_state=0),
}
WITHOUT = {
    "line": LinearRegression,
    "turned": lambda: make_pipeline(PCA(5), DecisionTreeRegressor(**SMALL)),
    "some features": lambda: BaggingRegressor(DecisionTreeRegressor(), n_estimators=3, max_features=3),
    "categories": lambda: HistGradientBoostingRegressor(max_iter=3, categorical_features=[4]),
}


def fitted(make):
    estimator = make()
    return estimator.fit(X, np.stack([Y, -Y], axis=1) if isinstance(estimator, MultiOutputRegressor) else Y)


def teacher(estimator, folder):
    dump(estimator, folder / "teacher.skops")
    return load_teacher(folder / "teacher.skops", trust_pickle=True)
