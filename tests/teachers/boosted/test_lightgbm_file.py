"""Files of LightGBM: levels of categories, what would crash the library, and texts of something else."""

import numpy as np
import torch
from boosted_models import FRAME, Y, save
from lightgbm import LGBMRegressor
from teacher_files import fails

from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.teachers.loader import load_teacher


def test_a_file_that_crashes_lightgbm_is_refused(tmp_path):
    model = LGBMRegressor(n_estimators=3, verbose=-1, n_jobs=1).fit(FRAME[["load", "heat"]], Y)
    path = save(model, "lightgbm", tmp_path)
    path.write_text(
        path.read_text().replace("tree_sizes=", "tree_sizes=9999999")
    )  # where the second tree is looked for
    with fails(path, "damaged", "lightgbm"):
        load_teacher(path)


def test_whole_numbers_as_categories_of_an_array(tmp_path):
    x = FRAME[["load", "gear"]].to_numpy()
    model = LGBMRegressor(n_estimators=5, min_data_per_group=9, cat_smooth=1, verbose=-1, n_jobs=1)
    path = save(model.fit(x, Y, categorical_feature=[1]), "lightgbm", tmp_path)
    asked, inputs = with_inputs(load_teacher(path), None)
    assert inputs.names == ["x0", "x1"] and inputs.features[1].levels == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(asked(torch.from_numpy(x))[:, 0].numpy(), model.predict(x), rtol=1e-6)


def test_a_text_that_is_no_model_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("a list of things")
    with fails(tmp_path / "notes.txt", "no model of LightGBM", "save_model"):
        load_teacher(tmp_path / "notes.txt")
