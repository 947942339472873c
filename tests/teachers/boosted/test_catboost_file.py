"""Files of CatBoost: trees with a split a node, and what is no model of it."""

import numpy as np
import pytest
import torch
from boosted_models import FRAME, QUIET, Y, save
from catboost import CatBoostRegressor
from teacher_files import fails

from dfkd_tune.prior_inference.tree_splits import splits_of
from dfkd_tune.teachers.loader import load_teacher


def test_trees_whose_nodes_have_splits_of_their_own_count_their_rows(tmp_path):
    """CatBoost grows them with ``grow_policy``; by default all nodes of one depth have the same split."""
    x = FRAME[["load", "heat"]].to_numpy(dtype=np.float32)
    model = CatBoostRegressor(iterations=3, depth=3, grow_policy="Lossguide", max_leaves=5, **QUIET).fit(x, Y)
    teacher = load_teacher(save(model, "catboost", tmp_path))
    np.testing.assert_allclose(teacher(torch.from_numpy(x))[:, 0].numpy(), model.predict(x), rtol=1e-6)
    roots = [split for split in splits_of(teacher.estimator) if split.parent < 0]
    assert len(roots) == 3 and all(root.rows == len(x) for root in roots)
    for root in roots:
        assert root.below == (x[:, root.feature] <= root.threshold).sum()


@pytest.mark.parametrize("content", [b"", b"CBM", b"tree\nversion=v4\n"])
def test_what_is_no_model_of_it_is_told_before_the_library_reads_it(content, tmp_path):
    (tmp_path / "model.cbm").write_bytes(content)
    with fails(tmp_path / "model.cbm", "save_model" if content else ""):
        load_teacher(tmp_path / "model.cbm")
