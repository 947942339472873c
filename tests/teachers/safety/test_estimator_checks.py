"""scikit-learn's own types: what its library saves loads without trust, and what would lead compiled code astray is refused first."""

import io
import json
import zipfile
from functools import partial

import numpy as np
import pytest
import skops.io
import torch
from scipy.stats import loguniform
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
from sklearn.tree._tree import Tree
from teacher_files import fails

from dfkd_tune.teachers.loader import load_teacher

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


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", HARMLESS)
def test_what_scikit_learn_saves_by_skops_loads_without_trust_and_answers_as_it_did(tmp_path, name):
    estimator = HARMLESS[name].fit(X, np.stack([Y, -Y], 1) if name == "several outputs" else Y)
    teacher = load_teacher(saved(tmp_path / "model.skops", estimator))
    expected = estimator.predict(X).reshape(len(X), -1)
    assert np.array_equal(teacher(torch.from_numpy(X)).numpy(), expected) and teacher.width == 3


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


# --- arrays that lead astray ------------------------------------------------------------------------------------------


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


TREES = {
    "tree": lambda: tree.DecisionTreeRegressor(max_depth=3).fit(X, Y),
    "forest": lambda: FOREST().fit(X, Y),
    "gradient": lambda: ensemble.GradientBoostingRegressor(n_estimators=2).fit(X, Y),
    "pipeline": lambda: make_pipeline(StandardScaler(), tree.DecisionTreeRegressor(max_depth=3)).fit(X, Y),
}


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


def rewrite(data, path, name, change):
    """Copy an archive with one entry changed."""
    with zipfile.ZipFile(data) as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.namelist():
            content = source.read(entry)
            target.writestr(entry, change(content) if entry == name else content)


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


def test_a_method_may_not_be_replaced(tmp_path):
    estimator = TREES["forest"]()
    estimator.estimators_[0]._validate_X_predict = np.add
    path = saved(tmp_path / "model.skops", estimator)
    with fails(path, "_validate_X_predict", "takes the place of its own"):
        load_teacher(path)


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


# --- archives that unfold ---------------------------------------------------------------------------------------------


def test_an_archive_that_unfolds_to_more_than_a_model_is_refused(tmp_path):
    path = tmp_path / "model.skops"
    skops.io.dump(svm.SVR().fit(X, Y), path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("more.npy", bytes(80 * 2**20))
    with fails(path, "unfolds to 83.9", "no model does"):
        load_teacher(path)
    with fails(path, "unfolds to 83.9"):
        load_teacher(path, trust_pickle=True)


def test_what_is_compressed_as_skops_compresses_loads(tmp_path):
    path = tmp_path / "model.skops"
    skops.io.dump(FOREST().fit(X, Y), path, compression=zipfile.ZIP_DEFLATED)
    assert load_teacher(path).width == 3
    skops.io.dump(FOREST().fit(X, Y), path, compression=zipfile.ZIP_LZMA)
    with fails(path, "size cannot be checked", "ZIP_DEFLATED"):
        load_teacher(path)


@pytest.mark.parametrize("shape", [(10**12,), (10**6, 10**6), (3,)])
def test_an_array_that_is_not_as_long_as_its_header_says_is_refused(tmp_path, shape):
    data, header = io.BytesIO(), io.BytesIO()
    skops.io.dump(svm.SVR().fit(X, Y), data)
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(data) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".npy") and archive.getinfo(n).file_size > 500)
    path = tmp_path / "model.skops"
    rewrite(data, path, name, lambda _: header.getvalue() + bytes(80))
    with fails(path, "says that it holds", str(shape)[:6]):
        load_teacher(path)


def test_parts_that_refer_to_larger_ones_are_refused(tmp_path):
    """Ten references in each of forty lists would be walked 10**40 times."""
    path = tmp_path / "model.skops"
    kind = {"__class__": "list", "__module__": "builtins", "__loader__": "ListNode"}
    part = kind | {"content": [], "__id__": 1}
    for number in range(2, 40):
        again = [kind | {"content": [], "__id__": number - 1}] * 9
        part = kind | {"content": [part, *again], "__id__": number}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", json.dumps(part | {"protocol": 2}))
    with fails(path, "refers to a larger one"):
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
