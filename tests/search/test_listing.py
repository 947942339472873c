"""The studies of a storage: ours with what is recorded, others as what they are, the last changed first."""

import optuna
import pytest
from asked import fails
from optuna.trial import TrialState
from tiny_studies import Store

from dfkd_tune.errors import NotFound
from dfkd_tune.search.attributes import SESSIONS, SPEC
from dfkd_tune.search.listing import last_changed, listed
from dfkd_tune.search.storage import open_storage
from dfkd_tune.study.opening import open_queue


def test_a_study_is_listed_with_what_it_recorded(store, finished):
    (found,) = (study for study in listed(store.storage) if study.name == "finished")
    trials = store.trials("finished")
    assert (found.teacher, found.tier, found.objective) == ("teacher.safetensors", "T0", "robust")
    assert found.trials == {
        state.name.lower(): sum(trial.state == state for trial in trials) for state in {trial.state for trial in trials}
    }
    assert (found.best, found.total, found.foreign) == (finished.best[0], 6, False)
    assert found.changed == max(trial.datetime_complete for trial in trials)


@pytest.fixture
def home(store, finished, tmp_path) -> Store:
    store.hand_out(tmp_path)
    return Store(tmp_path)


def test_the_last_changed_is_first(home, tiny):
    for name in ("one", "two"):
        _, queue = open_queue(tiny(name, trials=1), home.storage, home.tracking)
        claimed = queue.claim(1)
        queue.complete(claimed.trial, TrialState.PRUNED, [], {})
    assert [study.name for study in listed(home.storage)] == ["two", "one"]
    open_queue(tiny("three", trials=1), home.storage, home.tracking)
    assert [study.name for study in listed(home.storage)] == ["two", "one", "three"]
    assert last_changed(home.storage) == "two"


def test_a_study_of_another_program_is_told_as_one(home):
    """Whatever it keeps under names that are ours."""
    storage = open_storage(home.storage)
    theirs = optuna.create_study(study_name="theirs", storage=storage, direction="maximize")
    for name in (SPEC, SESSIONS):
        theirs.set_user_attr(name, "something else")
    theirs.tell(theirs.ask(), 3.0)
    (found,) = listed(home.storage)
    assert (found.name, found.foreign, found.trials) == ("theirs", True, {"complete": 1})
    assert found.best is None  # it may be one to maximize
    with fails("the storage", "holds no study", kind=NotFound):
        last_changed(home.storage)


def test_a_study_that_was_begun_is_ours(home):
    optuna.create_study(study_name="begun", storage=open_storage(home.storage)).set_user_attr(SESSIONS, 1)
    (found,) = listed(home.storage)
    assert (found.name, found.teacher, found.foreign) == ("begun", None, False)


def test_without_a_storage_there_is_nothing(tmp_path):
    with fails("a study", "there is no", kind=NotFound):
        listed(f"sqlite:///{tmp_path}/none.db")
    assert list(tmp_path.iterdir()) == []
