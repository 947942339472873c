"""Small fitted estimators of scikit-learn, and the archives that skops makes of them."""

import zipfile
from functools import partial

import numpy as np
import skops.io
from sklearn import ensemble, gaussian_process, linear_model, model_selection, neighbors, svm, tree
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, Matern, PairwiseKernel, WhiteKernel
from sklearn.impute import SimpleImputer
from sklearn.metrics import make_scorer, mean_absolute_error
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    SplineTransformer,
    StandardScaler,
)

RNG = np.random.default_rng(0)


X = np.column_stack([RNG.uniform(0.1, 2.0, (60, 2)), RNG.integers(0, 3, 60)])


Y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2]


FOREST = partial(ensemble.RandomForestRegressor, 3, max_depth=4, random_state=0)


RIDGE = partial(linear_model.Ridge)


SEARCH = partial(model_selection.GridSearchCV, linear_model.Ridge(), {"alpha": [1.0, 2.0]})


ENCODE = ColumnTransformer([("code", OneHotEncoder(), [2]), ("numbers", StandardScaler(), slice(0, 2))])


HARMLESS = {
    "gradient": ensemble.GradientBoostingRegressor(n_estimators=3),
    "gradient from ridge": ensemble.GradientBoostingRegressor(n_estimators=3, init=RIDGE(), loss="huber"),
    "histogram": ensemble.HistGradientBoostingRegressor(max_iter=3, min_samples_leaf=5),
    "histogram by categories": ensemble.HistGradientBoostingRegressor(
        max_iter=3, min_samples_leaf=5, categorical_features=[2]
    ),
    "forest": FOREST(),
    "extra trees": ensemble.ExtraTreesRegressor(3, random_state=0),
    "ada": ensemble.AdaBoostRegressor(n_estimators=3, random_state=0),
    "bag": ensemble.BaggingRegressor(n_estimators=3, random_state=0),
    "stack": ensemble.StackingRegressor([("a", RIDGE()), ("b", svm.SVR())], FOREST(), cv=2),
    "vote": ensemble.VotingRegressor([("a", RIDGE()), ("b", FOREST())]),
    "tree": tree.DecisionTreeRegressor(max_depth=3),
    "process": gaussian_process.GaussianProcessRegressor(RBF() + WhiteKernel(), random_state=0),
    "process of products": gaussian_process.GaussianProcessRegressor(
        ConstantKernel() * Matern(nu=2.5) + DotProduct() ** 2 + PairwiseKernel(metric="rbf") + WhiteKernel(),
        optimizer=None,
    ),
    "svr": svm.SVR(),
    "nu svr": svm.NuSVR(),
    "k-d tree": neighbors.KNeighborsRegressor(),
    "ball tree": neighbors.KNeighborsRegressor(algorithm="ball_tree", weights="distance", p=1),
    "brute": neighbors.KNeighborsRegressor(algorithm="brute"),
    "radius": neighbors.RadiusNeighborsRegressor(5.0),
    "network": MLPRegressor(hidden_layer_sizes=(4,), max_iter=5),
    "network by sgd": MLPRegressor(hidden_layer_sizes=(4,), max_iter=5, solver="sgd", early_stopping=True),
    "lasso": linear_model.LassoCV(cv=2),
    "bins": make_pipeline(KBinsDiscretizer(3), RIDGE()),
    "spline": make_pipeline(SplineTransformer(), RIDGE()),
    "imputed": make_pipeline(SimpleImputer(), FOREST()),
    "log": make_pipeline(FunctionTransformer(np.log1p), RIDGE()),
    "encoded": make_pipeline(ENCODE, ensemble.GradientBoostingRegressor(n_estimators=3)),
    "target": TransformedTargetRegressor(FOREST(), transformer=StandardScaler()),
    "several outputs": MultiOutputRegressor(ensemble.GradientBoostingRegressor(n_estimators=2)),
    "search": SEARCH(),
    "search by folds": SEARCH(cv=model_selection.KFold(2), scoring="neg_mean_squared_error"),
    "search by a scorer": SEARCH(
        cv=model_selection.RepeatedKFold(n_splits=2, n_repeats=1), scoring=make_scorer(mean_absolute_error)
    ),
    "search in time": SEARCH(cv=model_selection.TimeSeriesSplit(2), scoring=["r2", "neg_max_error"], refit="r2"),
    "random search": model_selection.RandomizedSearchCV(FOREST(), {"max_depth": [2, 3]}, n_iter=2, cv=2),
}


def saved(path, estimator):
    skops.io.dump(estimator, path)
    return path


TREES = {
    "tree": lambda: tree.DecisionTreeRegressor(max_depth=3).fit(X, Y),
    "forest": lambda: FOREST().fit(X, Y),
    "gradient": lambda: ensemble.GradientBoostingRegressor(n_estimators=2).fit(X, Y),
    "pipeline": lambda: make_pipeline(StandardScaler(), tree.DecisionTreeRegressor(max_depth=3)).fit(X, Y),
}


def rewrite(data, path, name, change):
    """Copy an archive with one entry changed."""
    with zipfile.ZipFile(data) as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.namelist():
            content = source.read(entry)
            target.writestr(entry, change(content) if entry == name else content)
