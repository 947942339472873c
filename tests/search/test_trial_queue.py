"""Trials: claimed by one worker, finished by its owner, taken from the dead, never more than the total."""

import math
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import optuna
import psutil
import pytest
from optuna.trial import Trial, TrialState

from dfkd_tune.search import storage as storages
from dfkd_tune.search.trial_queue import AHEAD, Requeued, TrialQueue

pytestmark = pytest.mark.usefixtures("undrawn")


def claim_all(url: str, folder: Path) -> None:
    """Claim trials until there are none, all processes from the same moment on."""
    storage = storages.open_storage(url)
    study = optuna.load_study(study_name="slots", storage=storage)
    (folder / f"ready-{os.getpid()}").touch()
    while not (folder / "go").exists():
        time.sleep(0.001)
    mine = TrialQueue(study, storage)
    while (claimed := mine.claim(30)) is not None:
        print(claimed.trial.number, flush=True)


def queue(url: str, total: int) -> TrialQueue:
    """A study called ``slots``, and a worker on it."""
    storage = storages.open_storage(url)
    made = TrialQueue(optuna.create_study(study_name="slots", storage=storage), storage)
    made.make(total)
    return made


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_processes_claim_each_slot_once(tmp_path, request, start, kind):
    url = f"sqlite:///{tmp_path}/optuna.db" if kind == "sqlite" else request.getfixturevalue("postgresql")
    mine = queue(url, 30)
    workers = [start(claim_all, url, tmp_path) for _ in range(4)]
    while len(list(tmp_path.glob("ready-*"))) < 4:
        assert all(worker.alive() for worker in workers), [worker.said for worker in workers]
        time.sleep(0.01)
    (tmp_path / "go").touch()
    assert [worker.wait() for worker in workers] == [0] * 4
    claimed = [int(number) for worker in workers for number in worker.said.split()]
    assert sorted(claimed) == list(range(30))
    assert {trial.state for trial in mine.study.get_trials(deepcopy=False)} == {TrialState.RUNNING}
    mine.storage.engine.dispose()


def test_slots_are_made_up_to_the_total(tmp_path):
    mine = queue(f"sqlite:///{tmp_path}/optuna.db", 3)
    claimed = [mine.claim(2), mine.claim(2), mine.claim(2)]
    assert [each and each.trial.number for each in claimed] == [0, 1, None]
    claimed = [mine.claim(5) for _ in range(4)]
    assert [each and each.trial.number for each in claimed] == [2, 3, 4, None]
    assert [trial.number for trial in mine.study.get_trials(deepcopy=False)] == list(range(5))
    assert mine.unfinished(5) == 5


def test_few_slots_wait(tmp_path):
    """Every look at a study reads those that wait."""
    mine = queue(f"sqlite:///{tmp_path}/optuna.db", 1000)
    assert len(mine.study.trials) == AHEAD
    numbers = [mine.claim(1000).trial.number for _ in range(AHEAD + 1)]
    assert numbers == list(range(AHEAD + 1))
    assert len(mine.study.trials) == 2 * AHEAD


def test_a_trial_may_start_with_a_parameter_that_has_one_value(tmp_path):
    """For which Optuna asks no sampler, and reads nothing."""
    mine = queue(f"sqlite:///{tmp_path}/optuna.db", 1000)
    mine.study.get_trials()
    widths = [mine.claim(1000).trial.suggest_int("student.width", 50, 50) for _ in range(AHEAD + 1)]
    assert widths == [50] * (AHEAD + 1)


DIE = """
import os, signal, sys
import optuna
from dfkd_tune.search import storage as storages
from dfkd_tune.search.trial_queue import TrialQueue
storage = storages.open_storage(sys.argv[1])
study = optuna.load_study(study_name="slots", storage=storage)
trial = TrialQueue(study, storage).claim(1).trial
trial.suggest_float("optimizer.lr", 1e-4, 1e-1, log=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_trial_whose_worker_died_keeps_its_parameters(tmp_path):
    url = f"sqlite:///{tmp_path}/optuna.db"
    mine = queue(url, 1)
    assert mine.requeue_stale() == []
    worker = subprocess.Popen([sys.executable, "-c", DIE, url], stderr=subprocess.DEVNULL)
    while psutil.Process(worker.pid).status() != psutil.STATUS_ZOMBIE:  # nobody has asked for its end yet
        time.sleep(0.01)
    (dead,) = mine.study.get_trials()
    assert dead.state == TrialState.RUNNING
    assert mine.requeue_stale() == [Requeued(0)]
    assert worker.wait() == -signal.SIGKILL
    (waiting,) = mine.study.get_trials()
    assert waiting.state == TrialState.WAITING
    assert waiting.params == dead.params
    again = mine.claim(1)
    assert again.again
    assert again.trial.suggest_float("optimizer.lr", 1e-4, 1e-1, log=True) == dead.params["optimizer.lr"]


def rename(mine: TrialQueue, trial: Trial, worker: str) -> None:
    mine.storage.set_trial_user_attr(trial._trial_id, "worker", worker)


def test_a_living_worker_keeps_its_trial(tmp_path):
    mine = queue(f"sqlite:///{tmp_path}/optuna.db", 1)
    trial = mine.claim(1).trial
    assert mine.requeue_stale() == []
    here = socket.gethostname()
    # Of another machine nothing is known but the heartbeat.
    rename(mine, trial, f"{here}-elsewhere/{os.getpid()}/0.00")
    assert mine.requeue_stale() == []
    # The number of a dead process may belong to another one by now.
    rename(mine, trial, f"{here}/{os.getpid()}/0.00")
    assert mine.requeue_stale() == [Requeued(0)]


def test_a_worker_does_not_take_its_own_trial_for_that_of_a_dead_one(tmp_path):
    """A machine that was suspended has late heartbeats when it goes on."""
    url = f"sqlite:///{tmp_path}/optuna.db"
    mine = queue(url, 1)
    mine.claim(1)
    with sqlite3.connect(tmp_path / "optuna.db") as connection:
        connection.execute("UPDATE trial_heartbeats SET heartbeat = datetime('now', '-400 seconds')")
    assert mine.requeue_stale() == []
    other = TrialQueue(optuna.load_study(study_name="slots", storage=mine.storage), mine.storage)
    assert other.owner != mine.owner and other.requeue_stale() == [Requeued(0)]


def test_a_worker_without_heartbeat_loses_its_trial(tmp_path):
    mine = queue(f"sqlite:///{tmp_path}/optuna.db", 1)
    trial = mine.claim(1).trial
    rename(mine, trial, "elsewhere/1/0.00")
    with sqlite3.connect(tmp_path / "optuna.db") as connection:
        connection.execute("UPDATE trial_heartbeats SET heartbeat = datetime('now', '-170 seconds')")
    assert mine.requeue_stale() == []
    with sqlite3.connect(tmp_path / "optuna.db") as connection:
        connection.execute("UPDATE trial_heartbeats SET heartbeat = datetime('now', '-200 seconds')")
    mine.beat([trial._trial_id])
    assert mine.requeue_stale() == []
    with sqlite3.connect(tmp_path / "optuna.db") as connection:
        connection.execute("UPDATE trial_heartbeats SET heartbeat = datetime('now', '-200 seconds')")
    assert mine.requeue_stale() == [Requeued(0)]


def test_a_trial_belongs_to_one_worker(tmp_path):
    """Who gave no sign of life for long may come back: its trial is another's by then."""
    slow = queue(f"sqlite:///{tmp_path}/optuna.db", 2)
    quick = TrialQueue(slow.study, slow.storage)
    trial = slow.claim(2).trial
    assert slow.lost([trial]) == set()
    assert quick.owners() == {slow.owner} and slow.owners() == set()
    slow.give_back()
    taken = quick.claim(2)
    assert (taken.trial.number, taken.again) == (0, True)
    assert slow.lost([trial]) == {0} and quick.lost([taken.trial]) == set()
    slow.give_back()
    assert not slow.complete(trial, TrialState.COMPLETE, [1.0], {"rmse": 1.0})
    assert quick.lost([taken.trial]) == set()
    assert quick.complete(taken.trial, TrialState.COMPLETE, [2.0], {"rmse": 2.0})
    assert quick.complete(
        taken.trial, TrialState.COMPLETE, [2.0], {"rmse": 2.0}
    )  # told twice, where the answer was lost
    assert slow.lost([trial]) == {0}
    done = slow.study.get_trials()[0]
    assert (done.state, done.value, done.user_attrs["rmse"]) == (TrialState.COMPLETE, 2.0, 2.0)
    assert slow.unfinished(2) == 1


def test_a_pruned_trial_has_its_last_report(tmp_path):
    mine = queue(f"sqlite:///{tmp_path}/optuna.db", 2)
    for reports, value in (([3.0, 2.0], 2.0), ([3.0, float("nan")], None)):
        trial = mine.claim(2).trial
        for step, report in enumerate(reports):
            trial.report(report, step)
        assert mine.complete(trial, TrialState.PRUNED, [], {})
        assert mine.study.get_trials()[trial.number].value == value


def test_reports_are_what_optuna_would_record(tmp_path):
    """Also where a step is reported again, as after a transaction that ran twice."""
    mine, theirs = (queue(f"sqlite:///{tmp_path}/{name}.db", 2) for name in ("mine", "theirs"))
    ours, others = ([made.claim(2).trial for _ in range(2)] for made in (mine, theirs))
    for step, values in enumerate([(3.0, math.inf), (math.nan, -math.inf), (0.5, 1e-300)]):
        for value in ((values[1], values[0]), values):
            mine.report({trial: (step, each) for trial, each in zip(ours, value, strict=True)})
        for trial, each in zip(others, values, strict=True):
            trial.report(each, step)
    for trial, other in zip(mine.study.get_trials(), theirs.study.get_trials(), strict=True):
        assert repr(trial.intermediate_values) == repr(other.intermediate_values)
    assert mine.complete(ours[0], TrialState.PRUNED, [], {})
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        mine.report({trial: (9, 1.0) for trial in ours})
    assert all(9 not in trial.intermediate_values for trial in mine.study.get_trials())


def test_a_deadly_trial_fails_at_last(tmp_path):
    mine = queue(f"sqlite:///{tmp_path}/optuna.db", 1)
    reason = "its worker died 4 times"
    for attempt in range(4):
        rename(mine, mine.claim(1).trial, f"{socket.gethostname()}/{os.getpid()}/0.00")
        assert mine.requeue_stale() == [Requeued(0) if attempt < 3 else Requeued(0, reason)]
    (failed,) = mine.study.get_trials()
    assert failed.state == TrialState.FAIL
    assert failed.user_attrs["reason"] == reason
    assert mine.claim(1) is None
    assert mine.unfinished(1) == 0
