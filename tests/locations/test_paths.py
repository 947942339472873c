"""Where a study lives: one place whatever way it is named, without credentials, and nothing is made by looking."""

import os

import pytest
from asked import fails
from hypothesis import given
from hypothesis import strategies as st

from dfkd_tune.errors import NotFound, StorageError
from dfkd_tune.locations import paths
from dfkd_tune.locations.paths import NAME, existing, folder_name, for_reading_alone, spool_folder, store_of, writable


def test_the_tracking_uri_given_beats_the_environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert paths.tracking_url(None) == f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://one.example:5000")
    assert paths.tracking_url(None) == "http://one.example:5000"
    assert paths.tracking_url("http://two.example:5000") == "http://two.example:5000"
    assert paths.tracking_url("sqlite:///here.db") == f"sqlite:///{tmp_path}/here.db"


def test_a_store_is_one_however_it_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.db").symlink_to("real.db")
    files = ("sqlite:///real.db", f"sqlite:///{tmp_path}/real.db", "sqlite:///./real.db?timeout=5", "sqlite:///link.db")
    assert {store_of(url) for url in files} == {f"sqlite:///{tmp_path}/real.db"}
    assert {spool_folder(url, "pump") for url in files} == {tmp_path / "spool" / "pump"}
    servers = ("postgresql://ann:s3cret@db:5432/x", "postgresql://db:5432/x")
    assert len({store_of(url) for url in servers}) == 1 and "s3cret" not in store_of(servers[0])
    assert spool_folder(servers[0], "pump") == tmp_path / "mlruns" / "spool" / "pump"


@given(st.text(), st.text())
def test_any_name_has_a_folder_of_its_own(one, other):
    assert NAME.fullmatch(folder_name(one))
    assert (folder_name(one) == folder_name(other)) == (one == other)


def test_looking_makes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with fails("study 'pump'", f"there is no {tmp_path}/mlruns/optuna.db", kind=NotFound):
        existing(paths.optuna_url(None), "study 'pump'")
    assert existing("postgresql://db/x", "study 'pump'") == "postgresql://db/x"
    assert not for_reading_alone(paths.optuna_url(None))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("query", ["mode=ro&uri=true", "immutable=1&uri=true"])
def test_an_address_may_be_for_reading_alone(tmp_path, query):
    (tmp_path / "x.db").touch()
    assert for_reading_alone(f"sqlite:///file:{tmp_path}/x.db?{query}")
    assert not for_reading_alone(f"sqlite:///file:{tmp_path}/x.db?mode=rw&uri=true")


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    assert writable(tmp_path / "a" / "b") == tmp_path / "a" / "b" and os.listdir(tmp_path / "a" / "b") == []
    (tmp_path / "file").touch()
    with fails(tmp_path / "file" / "c", "cannot be made: Not a directory", kind=StorageError):
        writable(tmp_path / "file" / "c")
