"""Directories with finished studies, for commands that are typed there."""

import pytest
from tiny_studies import Store
from undrawn import leave_blank


@pytest.fixture(autouse=True)
def default_tracking(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def two(store, finished, tiny, tmp_path_factory) -> Store:
    """A directory with two finished studies of one teacher, ``pump`` and ``valve``."""
    from dfkd_tune.study.session import run_study

    folder = tmp_path_factory.mktemp("two")
    store.hand_out(folder)
    home = Store(folder)
    with pytest.MonkeyPatch.context() as patch:
        leave_blank(patch)
        for name, trials in (("pump", 2), ("valve", 3)):
            run_study(tiny(name, trials=trials, reruns=1, leaders=1), home.storage, home.tracking)
    return home


@pytest.fixture
def own(tmp_path_factory, tiny, store) -> Store:
    """A directory with a finished study that a test may change."""
    from dfkd_tune.study.session import run_study

    folder = tmp_path_factory.mktemp("own")
    store.hand_out(folder)
    home = Store(folder)
    with pytest.MonkeyPatch.context() as patch:
        leave_blank(patch)
        run_study(tiny("pump", trials=2), home.storage, home.tracking)
    return home
