"""Files of skops: estimators of scikit-learn without trust, any other type only with it, and one hash for one content."""

import json
import zipfile

import numpy as np
import pytest
import skops.io
import torch
from estimators import FOREST, X, Y
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.svm import SVR
from teacher_files import fails

from dfkd_tune.errors import TeacherError
from dfkd_tune.teachers.formats.skops_file import content_hash
from dfkd_tune.teachers.loader import load_teacher


def ask(teacher):
    return teacher(torch.from_numpy(X))[:, 0].numpy()


class Doubled(BaseEstimator, RegressorMixin):
    """An estimator of one's own."""

    def fit(self, x, y):
        self.n_features_in_ = x.shape[1]
        return self

    def predict(self, x):
        return 2 * x[:, 0]


def test_skops_of_scikit_learn_answers_and_any_other_type_is_refused(tmp_path):
    svr = SVR().fit(X, X[:, 0])
    skops.io.dump(svr, tmp_path / "svr.skops")
    teacher = load_teacher(tmp_path / "svr.skops")
    assert np.array_equal(ask(teacher), svr.predict(X)) and teacher.width == 3
    skops.io.dump(Doubled().fit(X, X[:, 0]), tmp_path / "own.skops")
    with pytest.raises(
        TeacherError, match=r"^.*own\.skops: holds .*Doubled: code from outside of scikit-learn.*; --trust-pickle.*$"
    ):
        load_teacher(tmp_path / "own.skops")
    assert np.array_equal(ask(load_teacher(tmp_path / "own.skops", trust_pickle=True)), 2 * X[:, 0])


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


def test_one_estimator_has_one_content_however_often_it_is_written():
    """skops names parts by their addresses in memory, so that the files differ."""
    files = [skops.io.dumps(FOREST().fit(X, Y)) for _ in range(2)]
    assert content_hash(files[0]) == content_hash(files[1]) != content_hash(skops.io.dumps(FOREST().fit(X, -Y)))
