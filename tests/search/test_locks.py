"""Each study has locks of its own, which one process holds at a time."""

import optuna
import pytest

from dfkd_tune.errors import Interrupted
from dfkd_tune.search import locks
from dfkd_tune.search import storage as storages

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_study_has_a_lock_of_its_own(tmp_path, request, kind):
    url = f"sqlite:///{tmp_path}/optuna.db" if kind == "sqlite" else request.getfixturevalue("postgresql")
    storage, other = storages.open_storage(url), storages.open_storage(url)
    one, two = (optuna.create_study(study_name=name, storage=storage) for name in ("one", "two"))
    looks = []

    def check_cancelled() -> None:
        looks.append(True)
        if len(looks) == 2:
            raise Interrupted("one")

    with locks.rerun_lock(storage, url, one, check_cancelled):
        with locks.rerun_lock(other, url, two, check_cancelled), locks.exclusive(other, url):
            assert not looks
        with pytest.raises(Interrupted), locks.rerun_lock(other, url, one, check_cancelled):
            raise AssertionError("two hold it")
    with locks.rerun_lock(other, url, one, check_cancelled):
        assert len(looks) == 2
    for each in (storage, other):
        each.engine.dispose()
