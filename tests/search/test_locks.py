"""Each study has locks of its own, which one process holds at a time."""

import optuna
import pytest

from dfkd_tune.errors import Interrupted
from dfkd_tune.search import locks
from dfkd_tune.search import storage as storages
from dfkd_tune.search.attributes import PARTS

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


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_study_of_many_parts_is_locked_by_one_connection(tmp_path, request, kind):
    """A worker may keep few connections, and a study may have more parts than that."""
    url = f"sqlite:///{tmp_path}/optuna.db" if kind == "sqlite" else request.getfixturevalue("postgresql")
    storage, other = storages.open_storage(url), storages.open_storage(url)
    study = optuna.create_study(study_name="wide", storage=storage)
    study.set_user_attr(PARTS, 40)
    everything = locks.study_locks(storage, url, study)
    assert len(everything) == 40 + len(locks.PURPOSES)
    part = locks.StudyLock(other, url, study, 39)
    with locks.as_many_as_are_free(storage, everything) as all_free:
        assert all_free and not part.acquire()
    assert part.acquire()
    with locks.as_many_as_are_free(storage, everything) as all_free:
        assert not all_free
    part.release()
    for each in (storage, other):
        each.engine.dispose()
