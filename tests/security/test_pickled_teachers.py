"""Pickles from strangers: nothing that a file hides runs."""

import pickle

import pytest
import torch
from teacher_files import NETWORKS, OUTPUTS, THREE, Payload, fails

from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ts"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, marker, suffix, zipped):
    path = tmp_path / f"net{suffix}"
    torch.save({"state_dict": Payload(marker)}, path, _use_new_zipfile_serialization=zipped)
    with fails(path, "pickled code", "--trust-pickle"):
        load_teacher(path)


def test_the_payload_of_these_tests_is_live(tmp_path):
    path = tmp_path / "net.pt"
    torch.save(Payload(tmp_path / "marker"), path)
    with fails(path, "not a state dict or a module"):
        load_teacher(path, trust_pickle=True)
    assert (tmp_path / "marker").exists()


def test_a_bare_pickle_is_refused_and_not_run(tmp_path, marker):
    for suffix in (*NETWORKS, ".pkl", ".joblib"):
        path = tmp_path / f"net{suffix}"
        path.write_bytes(pickle.dumps(Payload(marker)))
        with fails(path):
            load_teacher(path)


def test_a_pickled_module_is_taken_when_its_author_is_trusted(files):
    with fails(files["module.bin"], "pickled code", "--trust-pickle"):
        load_teacher(files["module.bin"])
    assert probe(load_teacher(files["module.bin"], trust_pickle=True), THREE).outputs == OUTPUTS
