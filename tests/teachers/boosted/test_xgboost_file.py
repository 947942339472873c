"""Files of XGBoost: both formats, the iterations that are used, and what would crash the library."""

import json

import numpy as np
import pytest
import torch
from boosted_models import FRAME, Y, save
from teacher_files import fails
from xgboost import XGBRegressor

from dfkd_tune.teachers.loader import load_teacher


def around(model: dict) -> None:
    model["learner"]["gradient_booster"]["model"]["trees"][0]["left_children"][1] = 0


def astray(model: dict) -> None:
    model["learner"]["gradient_booster"]["model"]["trees"][0]["split_indices"][0] = 10**6


@pytest.mark.parametrize("harm", [around, astray])
def test_a_file_that_crashes_xgboost_is_refused(harm, tmp_path):
    model = XGBRegressor(n_estimators=1, max_depth=3, n_jobs=1).fit(FRAME[["load", "heat"]], Y)
    path = save(model, "xgboost", tmp_path)
    tree = json.loads(path.read_text())
    harm(tree)
    path.write_text(json.dumps(tree))
    with fails(path, "xgboost"):
        load_teacher(path)


def test_ubj_answers_as_json_does_and_best_iterations_alone_are_used(tmp_path):
    model = XGBRegressor(n_estimators=60, max_depth=2, learning_rate=1, early_stopping_rounds=2, n_jobs=1)
    x = FRAME[["load", "heat"]]
    model.fit(x[:200], Y[:200], eval_set=[(x[200:], Y[200:])], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    model.save_model(tmp_path / "model.ubj")
    teacher = load_teacher(tmp_path / "model.ubj")
    answers = teacher(torch.from_numpy(x.to_numpy(copy=True)))[:, 0].numpy()
    np.testing.assert_allclose(answers, model.predict(x), rtol=1e-6)
