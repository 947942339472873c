"""Rounds of several processes: one of them asks a round, an idle one writes nothing, and a killed one loses nothing."""

import os
import signal

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import TrialState
from sqlalchemy import event

from dfkd_tune.search.rounds.queue import RoundQueue
from dfkd_tune.search.storage import open_storage
from dfkd_tune.search.trial_queue import TrialQueue

TOTAL = 7


class Counting(RandomSampler):
    """Draws 1, 2, 3, ... and keeps in the study how far it is, as samplers with a state of their own do."""

    def sample_independent(self, study, trial, name, distribution):
        storage, number = study._storage, study._study_id
        drawn = storage.get_study_system_attrs(number).get("counting", 0) + 1
        storage.set_study_system_attr(number, "counting", drawn)
        return drawn


def count(trial) -> float:
    return trial.suggest_int("n", 1, 1000)


def rounds(url: str, sampler=lambda first: Counting()) -> RoundQueue:
    storage = open_storage(url)
    study = optuna.create_study(study_name="counted", storage=storage, load_if_exists=True)
    return RoundQueue(TrialQueue(study, storage), 2, 4, sampler, count)


def finish(mine: RoundQueue) -> list[int]:
    """Work until the study has ended; returns what its trials drew."""
    while (group := mine.claim(TOTAL)) is not None:
        for claim in group.claims:
            assert mine.queue.complete(claim.trial, TrialState.COMPLETE, [count(claim.trial)], {})
    return [trial.params["n"] for trial in mine.queue.study.get_trials(deepcopy=False)]


def work_until_killed(url: str, commits: int) -> None:
    """A worker that is killed before a commit."""
    mine, left = rounds(url), [commits]

    def commit(connection) -> None:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(mine.queue.storage.engine, "commit", commit)
    finish(mine)


def test_wherever_a_worker_is_killed_the_trials_are_the_same(tmp_path, start):
    """The state of the sampler is recorded with the trials that it drew."""
    expected = finish(rounds(f"sqlite:///{tmp_path}/whole.db"))
    assert expected == list(range(1, TOTAL + 1))
    killed = {number: start(work_until_killed, f"sqlite:///{tmp_path}/{number}.db", number) for number in range(1, 12)}
    for number, process in killed.items():
        assert process.wait() == -signal.SIGKILL, process.said
        mine = rounds(f"sqlite:///{tmp_path}/{number}.db")
        mine.queue.requeue_stale()
        assert finish(mine) == expected, number


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    return f"sqlite:///{tmp_path}/optuna.db" if request.param == "sqlite" else request.getfixturevalue("postgresql")


def test_one_process_asks_a_round(url):
    """The other one finds nothing to take meanwhile."""
    asked, found = [], []

    def slow(first: int) -> RandomSampler:
        asked.append(first)
        found.append(other.claim(TOTAL))
        return Counting()

    mine, other = rounds(url, slow), rounds(url, slow)
    group = mine.claim(TOTAL)
    assert (asked, found) == ([0], [None])
    assert [claim.trial.number for claim in group.claims] == [0, 2]
    assert [claim.trial.number for claim in other.claim(TOTAL).claims] == [1, 3]
    assert asked == [0]
    for each in (mine, other):
        each.queue.storage.engine.dispose()


def test_an_idle_worker_writes_nothing(postgresql):
    """Not even a row lock, for which PostgreSQL would begin a transaction with a number."""
    mine, idle = rounds(postgresql), rounds(postgresql)
    mine.claim(TOTAL), idle.claim(TOTAL)

    def newest() -> int:
        with mine.queue.storage.engine.connect() as connection:
            return int(connection.exec_driver_sql("SELECT pg_snapshot_xmax(pg_current_snapshot())").scalar())

    before = newest()
    assert [idle.claim(TOTAL) for _ in range(5)] == [None] * 5
    assert newest() == before
    for each in (mine, idle):
        each.queue.storage.engine.dispose()
