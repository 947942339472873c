"""Archives of skops: what is compressed as usual loads, and what claims more than it holds is refused."""

import io
import json
import zipfile

import numpy as np
import pytest
import skops.io
from estimators import FOREST, X, Y, rewrite
from sklearn import svm
from teacher_files import fails

from dfkd_tune.teachers.loader import load_teacher


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
