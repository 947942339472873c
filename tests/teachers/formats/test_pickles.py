"""Pickles: never run without trust, and whatever they hold is taken with it."""

import joblib
import numpy as np
import pytest
import torch
from estimators import X
from sklearn.svm import SVR
from teacher_files import ROWS, Payload, fails, network, save_architecture

from dfkd_tune.errors import TeacherError
from dfkd_tune.teachers.loader import load_teacher


@pytest.mark.parametrize("suffix", [".joblib", ".pkl"])
def test_joblib_is_refused_without_trust_and_not_run(tmp_path, suffix):
    joblib.dump(Payload(tmp_path / "marker"), tmp_path / f"bad{suffix}")
    with pytest.raises(TeacherError, match=r"is a pickle.*skops.*, or --trust-pickle"):
        load_teacher(tmp_path / f"bad{suffix}")
    assert not (tmp_path / "marker").exists()
    svr = SVR().fit(X, X[:, 0])
    joblib.dump(svr, tmp_path / f"svr{suffix}")
    assert np.array_equal(
        load_teacher(tmp_path / f"svr{suffix}", trust_pickle=True)(torch.from_numpy(X))[:, 0].numpy(), svr.predict(X)
    )


@pytest.mark.parametrize("suffix", [".pkl", ".joblib"])
def test_a_file_of_torch_needs_no_trust_whatever_its_name(tmp_path, suffix):
    """It holds tensors alone."""
    torch.save(network().state_dict(), tmp_path / f"net{suffix}")
    teacher = load_teacher(tmp_path / f"net{suffix}", save_architecture(tmp_path))
    torch.testing.assert_close(teacher(ROWS), network()(ROWS).detach())


def test_a_pickled_network_or_its_state_is_one_as_well(tmp_path):
    for name, held in (("net.pkl", network()), ("state.pkl", network().state_dict())):
        joblib.dump(held, tmp_path / name)
        teacher = load_teacher(tmp_path / name, save_architecture(tmp_path), trust_pickle=True)
        torch.testing.assert_close(teacher(ROWS), network()(ROWS).detach())


def test_a_pickle_that_needs_what_is_not_installed_says_so(tmp_path):
    (tmp_path / "model.pkl").write_bytes(b"cno_such_package\nModel\n.")
    with fails(tmp_path / "model.pkl", "cannot be unpickled: ModuleNotFoundError", "no_such_package", "install"):
        load_teacher(tmp_path / "model.pkl", trust_pickle=True)
