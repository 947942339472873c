"""Archives of skops: what is compressed as usual loads, and what claims more than it holds is refused."""

import io
import zipfile

import numpy as np
import pytest
import skops.io
from estimators import FOREST, X, Y, rewrite
from sklearn import svm
from teacher_files import fails

from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.safety.archives import read, readable, room, unfolded


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


def zipped(entries, compression=zipfile.ZIP_DEFLATED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return data.getvalue()


def array(values) -> bytes:
    data = io.BytesIO()
    np.save(data, values)
    return data.getvalue()


def test_an_archive_is_copied_with_what_it_holds_and_without_compression():
    inner = zipped({"a.npy": array(np.arange(5))})
    entries = {"schema.json": b"{}", "x.npy": array(np.zeros((2, 3))), "more.npz": inner}
    with zipfile.ZipFile(io.BytesIO(unfolded("here", zipped(entries)))) as copy:
        assert [entry.compress_type for entry in copy.infolist()] == [zipfile.ZIP_STORED] * 3
        assert {name: copy.read(name) for name in ("schema.json", "x.npy")} == {
            n: entries[n] for n in ("schema.json", "x.npy")
        }
        assert np.load(io.BytesIO(copy.read("more.npz")))["a"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("content", [b"", b"no array", array(np.zeros(9))[:-1], array(np.zeros(9)) + b"1"])
def test_an_array_within_an_archive_within_an_archive_is_looked_at_too(content):
    with fails("here", "'a.npy'"):
        unfolded("here", zipped({"more.npz": zipped({"a.npy": content})}))


def test_a_file_takes_a_share_of_the_free_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("dfkd_tune.utils.hardware.memory", lambda: 2_000)
    path = tmp_path / "model"
    path.write_bytes(bytes(1_000))
    assert len(read(path)) == room() == 1_000
    path.write_bytes(bytes(1_001))
    with fails(path, "the file has 1 KB, this machine has 2 KB free", "larger machine"):
        read(path)


@pytest.mark.parametrize(
    "size, text",
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 KB"),
        (83_900_000, "83.9 MB"),
        (8.76e9, "8.8 GB"),
        (12e12, "12,000.0 GB"),
    ],
)
def test_sizes_are_short(size, text):
    assert readable(size) == text
