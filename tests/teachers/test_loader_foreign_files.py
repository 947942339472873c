"""Files that are no teacher: whatever is wrong is told in one line, and a damaged byte is never a crash."""

import numpy as np
import pytest
import torch
from teacher_files import NETWORKS, fails
from tiny_studies import STUDIES

from dfkd_tune.errors import TeacherError
from dfkd_tune.teachers.formats.kinds import suffixes
from dfkd_tune.teachers.loader import load_teacher


@pytest.mark.parametrize("suffix", sorted(suffixes()))
def test_missing_empty_and_directory(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    with fails(path, "no such file"):
        load_teacher(path)
    path.touch()
    with fails(path, "empty"):
        load_teacher(path)
    path.unlink()
    path.mkdir()
    with fails(path, "directory"):
        load_teacher(path)


@pytest.mark.parametrize("name", ["net.keras", "net", "net.pt2.zip"])
def test_unknown_suffix_lists_the_known_ones(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"anything")
    with fails(path, "unknown kind of model file", *suffixes()):
        load_teacher(path)


def test_a_name_the_system_cannot_take(tmp_path):
    path = tmp_path / ("n" * 300 + ".pt2")
    with fails(path, "cannot be read", "too long"):
        load_teacher(path)


@pytest.mark.parametrize("suffix", NETWORKS)
@pytest.mark.parametrize(
    "content",
    [b"\x89PNG\r\n\x1a\n" + bytes(200), b"a,b,c\n1,2,3\n", b"just some words, renamed\n" * 9, b"<html>", bytes(64)],
    ids=["png", "csv", "text", "html", "zeros"],
)
def test_foreign_files(tmp_path, suffix, content):
    path = tmp_path / f"net{suffix}"
    path.write_bytes(content)
    for trust in (False, True):
        if suffix == ".safetensors" or suffix == ".pt2" or not trust:
            with fails(path, "not a", "cut short"):
                load_teacher(path, trust_pickle=trust)
        else:
            with fails(path, "cannot be unpickled"):
                load_teacher(path, trust_pickle=trust)


def test_an_archive_of_something_else(tmp_path):
    for suffix in NETWORKS:
        path = tmp_path / f"net{suffix}"
        with path.open("wb") as file:
            np.savez(file, x=np.zeros(3))
        with fails(path):
            load_teacher(path)


@pytest.mark.parametrize("name", ["net.pt2", "net.safetensors", "state.pt", "script.pt", "module.bin"])
def test_files_cut_short(files, tmp_path, name):
    data = files[name].read_bytes()
    path = tmp_path / name
    for length in (1, 4, 30, 100, len(data) // 4, len(data) // 2, len(data) - 100, len(data) - 1):
        path.write_bytes(data[:length])
        with fails(path, "cut short"):
            load_teacher(path, architecture=files[name].parent / "architecture.yaml")


@pytest.mark.parametrize("name", ["net.pt2", "net.safetensors", "state.pt", "script.pt"])
def test_a_damaged_byte_is_never_a_crash(files, tmp_path, name):
    data = files[name].read_bytes()
    path, refused = tmp_path / name, 0
    for at in range(0, len(data), max(1, len(data) // 60)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        try:
            load_teacher(path, architecture=files[name].parent / "architecture.yaml")
        except TeacherError as error:
            refused += 1
            assert str(path) in str(error) and len(str(error).splitlines()) == 1
    assert refused


def test_files_that_hold_something_else(tmp_path):
    path = tmp_path / "net.pt"
    for held in ([torch.zeros(2)], {"epoch": 3}, {}, torch.zeros(2)):
        torch.save(held, path)
        with fails(path, "not a state dict or a module", type(held).__name__):
            load_teacher(path)


@pytest.mark.parametrize("suffix", [".skops", ".onnx", ".joblib"])
def test_files_of_other_libraries_cut_short_are_told_in_one_line(tmp_path, suffix):
    file = tmp_path / f"cut{suffix}"
    file.write_bytes((STUDIES / "protein_teacher.skops").read_bytes()[:500])
    with pytest.raises(TeacherError) as caught:
        load_teacher(file, trust_pickle=True)
    assert str(caught.value).startswith(f"{file}: ") and "\n" not in str(caught.value)
