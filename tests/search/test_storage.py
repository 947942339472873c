"""A storage that is away is waited for, a damaged or full one is told, and trials are read as Optuna reads them."""

import contextlib
import sqlite3

import numpy as np
import optuna
import pytest
from any_trials import any_trial, told
from optuna.trial import TrialState
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from dfkd_tune.errors import StorageError
from dfkd_tune.search import storage as storages
from dfkd_tune.search.trial_queue import TrialQueue

pytestmark = pytest.mark.usefixtures("undrawn")


def test_a_connection_that_breaks_is_made_again(postgresql):
    storage = storages.open_storage(postgresql)
    calls = []

    def work(session) -> int:
        calls.append(session.execute(text("SELECT pg_backend_pid()")).scalar())
        if len(calls) < 3:  # as when the server is restarted
            with contextlib.suppress(OperationalError):
                session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
            session.execute(text("SELECT 1"))  # Optuna asks again where a query failed
        return len(calls)

    assert storage.transact(work) == 3
    assert len(set(calls)) == 3
    assert storage.last_away > 0
    storage.engine.dispose()


def test_a_full_disk_is_told_at_once(tmp_path):
    storage = storages.open_storage(f"sqlite:///{tmp_path}/optuna.db")

    def fill(session) -> None:
        session.execute(text("PRAGMA max_page_count = 60"))
        for _ in range(200):
            session.execute(text("INSERT INTO studies (study_name) VALUES (hex(randomblob(200)))"))

    with pytest.raises(StorageError, match=r"optuna\.db: cannot be used: database or disk is full"):
        storage.transact(fill)
    storage.engine.dispose()


@pytest.mark.parametrize("code", storages.PASSING)
def test_what_other_processes_cause_is_waited_for(tmp_path, code):
    storage, left = storages.open_storage(f"sqlite:///{tmp_path}/optuna.db"), [1, 2]

    def call() -> str:
        if not left:
            return "done"
        failed = sqlite3.OperationalError(f"attempt {left.pop()}")
        failed.sqlite_errorcode = code
        raise OperationalError("SELECT", {}, failed)

    assert storage.retry_until_available(call) == "done"


def test_trials_are_read_once_while_they_are_still(tmp_path):
    """What another worker does meanwhile is seen afterwards; what this one does, at once."""
    url = f"sqlite:///{tmp_path}/optuna.db"
    own = storages.open_storage(url)
    mine = TrialQueue(optuna.create_study(study_name="slots", storage=own), own)
    mine.make(3)
    first, second = mine.claim(3), mine.claim(3)
    storage = storages.open_storage(url)
    others = TrialQueue(optuna.load_study(study_name="slots", storage=storage), storage)

    def states():
        return [trial.state.name[0] for trial in mine.study.get_trials(deepcopy=False)]

    with mine.storage.cached_reads():
        assert states() == ["R", "R", "W"]
        third = others.claim(3)
        assert states() == ["R", "R", "W"]
        mine.complete(first.trial, TrialState.COMPLETE, [1.0], {})
        assert states() == ["C", "R", "R"]
        others.complete(third.trial, TrialState.COMPLETE, [2.0], {})
        assert states() == ["C", "R", "R"]
        assert len(mine.storage.get_all_trials(mine.study._study_id)) == 3  # whoever keeps none gets all
    assert states() == ["C", "R", "C"]
    assert mine.complete(second.trial, TrialState.COMPLETE, [3.0], {}) and states() == ["C", "C", "C"]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_trials_are_read_as_optuna_reads_them(tmp_path, request, kind):
    url = f"sqlite:///{tmp_path}/optuna.db" if kind == "sqlite" else request.getfixturevalue("postgresql")
    storage = storages.open_storage(url)
    studies = [optuna.create_study(study_name=name, storage=storage) for name in ("one", "two")]
    rng = np.random.default_rng(0)
    for study in studies:
        study.add_trials([any_trial(rng, 1) for _ in range(20)])
    ids = [trial._trial_id for trial in studies[1].get_trials()]
    for states in (None, (TrialState.COMPLETE,), (TrialState.RUNNING, TrialState.WAITING)):
        for included, after in ((set(), -1), ({*ids[:3]}, ids[4]), ({ids[2], ids[9]}, ids[5]), (set(), ids[-1])):
            ours, theirs = (
                read(storage, studies[1]._study_id, states, {*included}, after)
                for read in (storages.PatientStorage._get_trials, optuna.storages.RDBStorage._get_trials)
            )
            assert [*map(told, ours)] == [*map(told, theirs)]
    with pytest.raises(KeyError):
        storage._get_trials(99, None, set(), -1)


def test_attributes_of_a_study_are_recorded_together_or_not_at_all(tmp_path):
    """A process may die between two writes."""
    storage = storages.open_storage(f"sqlite:///{tmp_path}/optuna.db")
    study = optuna.create_study(study_name="noted", storage=storage)
    with pytest.raises(TypeError):
        storage.note(study, {"a": 1, "b": object()})
    assert study.user_attrs == {}
    storage.note(study, {"a": 1, "b": [2.5]})
    storage.note(study, {"b": None})
    assert study.user_attrs == {"a": 1, "b": None}
