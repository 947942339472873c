"""XGBoost, LightGBM and CatBoost answer here as their libraries do, on columns by name, and a bad file ends no process."""

import hashlib

import numpy as np
import pandas as pd
import pytest
import torch
from boosted_models import COUNT, FRAME, KIND, QUIET, SUFFIX, Y, save
from catboost import CatBoostClassifier, CatBoostRegressor
from lightgbm import LGBMClassifier, LGBMRegressor
from scipy.stats import spearmanr
from teacher_files import fails
from xgboost import XGBClassifier, XGBRegressor

from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.prior_inference.tree_splits import splits_of
from dfkd_tune.teachers.boosted.boosted_trees import BoostedTrees, Tree, check_tree
from dfkd_tune.teachers.loader import load_teacher

LEVELS = ["red", "blue", "green"]
DECLARED = "features: [heat, {name: kind, levels: [red, blue, green]}, gear, load]"


def regressor(library: str):
    if library == "xgboost":
        return XGBRegressor(n_estimators=12, max_depth=4, enable_categorical=True, max_cat_to_onehot=1, n_jobs=1)
    if library == "lightgbm":
        return LGBMRegressor(n_estimators=20, num_leaves=12, min_data_per_group=9, cat_smooth=1, verbose=-1, n_jobs=1)
    return CatBoostRegressor(iterations=20, depth=4, cat_features=["kind"], one_hot_max_size=3, **QUIET)


def classifier(library: str):
    if library == "xgboost":
        return XGBClassifier(n_estimators=1, n_jobs=1)
    if library == "lightgbm":
        return LGBMClassifier(n_estimators=1, verbose=-1, n_jobs=1)
    return CatBoostClassifier(iterations=1, depth=1, **QUIET)


@pytest.fixture(scope="module", params=SUFFIX)
def made(request, tmp_path_factory):
    """A library, a model of it fitted on a data frame with words, and the teacher that its file is."""
    model = regressor(request.param).fit(FRAME, Y)
    path = save(model, request.param, tmp_path_factory.mktemp("trees"))
    return request.param, model, path, load_teacher(path)


def declared(folder, text=DECLARED):
    (folder / "features.yaml").write_text(text)
    return folder / "features.yaml"


def rows(inputs: Inputs) -> torch.Tensor:
    coded = FRAME.assign(kind=KIND.map(inputs.features[inputs.names.index("kind")].labels.index))
    return torch.from_numpy(coded[inputs.names].to_numpy(dtype=float))


def test_a_model_answers_as_its_library_does_whatever_the_order_of_columns(made, tmp_path):
    _, model, path, teacher = made
    assert teacher.width == 4 and teacher.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    asked, inputs = with_inputs(teacher, declared(tmp_path))
    np.testing.assert_allclose(asked(rows(inputs))[:, 0].numpy(), model.predict(FRAME), rtol=1e-6)


def test_missing_numbers_are_answered_as_the_library_answers_them(made, tmp_path):
    _, model, _, teacher = made
    asked, inputs = with_inputs(teacher, declared(tmp_path))
    gaps, x = FRAME.assign(load=np.nan), rows(inputs)
    x[:, inputs.names.index("load")] = torch.nan
    np.testing.assert_allclose(asked(x)[:, 0].numpy(), model.predict(gaps), rtol=1e-6)


def test_levels_come_from_the_file_where_it_holds_them(made):
    library, model, path, teacher = made
    if library == "catboost":
        with fails(path, "categories in the column kind", "{name: kind, levels: [...]}"):
            with_inputs(teacher, None)
        return
    asked, inputs = with_inputs(teacher, None)
    assert inputs.names == [*FRAME.columns] and inputs.features[1].labels == ["blue", "green", "red"]
    np.testing.assert_allclose(asked(rows(inputs))[:, 0].numpy(), model.predict(FRAME), rtol=1e-6)


def test_a_level_that_the_trees_never_saw_is_refused(made, tmp_path):
    library, _, path, teacher = made
    wrong = declared(tmp_path, DECLARED.replace("green", "violet"))
    if library == "catboost":  # which answers unknown levels, too, and holds only hashes of those it knows
        assert with_inputs(teacher, wrong)[1].features[1].labels == ["red", "blue", "violet"]
    else:
        with fails(path, "'violet' of kind", "blue, green, red"):
            with_inputs(teacher, wrong)


def test_what_the_trees_counted_becomes_the_prior_beside_declared_levels(made, tmp_path):
    library, _, _, teacher = made
    inputs = with_inputs(teacher, declared(tmp_path))[1]
    assert inputs.tier == "T2" and inputs.inferred.told.endswith("counted at their splits")
    x = inputs.raw(inputs.draw(4_000, torch.Generator().manual_seed(0))).numpy()
    for name in ("load", "heat"):
        drawn = x[:, inputs.names.index(name)]
        for p in (0.1, 0.5, 0.9):
            assert (drawn <= np.quantile(FRAME[name], p)).mean() == pytest.approx(p, abs=0.15), (library, name)
    assert spearmanr(x[:, inputs.names.index("load")], x[:, inputs.names.index("heat")]).statistic > 0.2
    assert {*x[:, inputs.names.index("kind")]} == {0.0, 1.0, 2.0}


def test_a_split_parts_the_rows_as_it_counted_them(made, tmp_path):
    """Splits of numbers alone, above which no category decides; XGBoost and CatBoost keep float32."""
    library, _, _, _ = made
    x = FRAME[["load", "heat", "gear"]].to_numpy(dtype=np.float32)
    model = regressor(library).set_params(**({"cat_features": None} if library == "catboost" else {})).fit(x, Y)
    found = splits_of(load_teacher(save(model, library, tmp_path)).estimator)
    assert len(found) > 20
    where = {}
    for i, split in enumerate(found):
        here = np.ones(COUNT, bool)
        if split.parent >= 0:
            above = found[split.parent]
            below = x[:, above.feature] <= above.threshold
            here = where[split.parent] & (below if split.went_below else ~below)
        where[i] = here
        value = x[here, split.feature]
        assert ((value <= split.threshold).sum(), (value > split.threshold).sum()) == (split.below, split.above)


def test_a_classifier_is_refused(made, tmp_path):
    library = made[0]
    path = save(classifier(library).fit(FRAME[["load", "heat"]], Y.mean() < Y), library, tmp_path)
    with fails(path, "answers classes, not numbers", "MODULE:FUNCTION"):
        load_teacher(path)


def test_without_the_library_its_extra_is_named(made, monkeypatch):
    library, _, path, _ = made
    monkeypatch.setattr(f"dfkd_tune.teachers.boosted.{library}_file.find_spec", lambda name: None)
    with fails(path, f"needs {library}", f"pip install 'dfkd-tune[{library}]'"):
        load_teacher(path)


def test_a_file_cut_short_is_refused(made, tmp_path):
    library, _, path, _ = made
    short = tmp_path / f"short{SUFFIX[library]}"
    short.write_bytes(path.read_bytes()[: -len(path.read_bytes()) // 2])
    with fails(short):
        load_teacher(short)


@pytest.mark.parametrize(
    "change",
    [{"left": [0, -1, -1]}, {"left": [2, -1, -1]}, {"right": [3, -1, -1]}, {"feature": [2, -1, -1]}, {"rows": [4.0]}],
)
def test_a_tree_that_leads_astray_is_told(change):
    sound = {"feature": [1, -1, -1], "threshold": [0.5, 0, 0], "left": [1, -1, -1], "right": [2, -1, -1]}
    arrays = {k: np.array(v) for k, v in (sound | {"rows": [4.0, 1, 3]}).items()}
    check_tree(Tree(**arrays), 2)
    with pytest.raises(ValueError, match="a tree"):
        check_tree(Tree(**arrays | {k: np.array(v) for k, v in change.items()}), 2)


def test_a_value_that_is_no_level_is_told():
    trees = BoostedTrees(lambda x: x[:, 0], 1, levels={0: ["a", "b"]}, coded=[0])
    assert trees.predict(pd.DataFrame({"k": ["b", None, "a"]})).tolist()[::2] == [1.0, 0.0]
    with pytest.raises(ValueError, match="'c' is none of the levels"):
        trees.predict(pd.DataFrame({"k": ["b", "c"]}))
