"""Workers are killed at random moments, and their study asks not one row beyond its total."""

import multiprocessing
import random
import threading
import time

import pytest
from costly import LOG, asked, costly_tree

from dfkd_tune.search.attributes import StudyRecord
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study import workers
from dfkd_tune.study.prepare import prepare

pytestmark = pytest.mark.usefixtures("undrawn")

TOTAL = 600


class Killer(threading.Thread):
    """Kills a random worker whenever so many more rows were asked, also amid a call."""

    def __init__(self, log, kills: int, seed: int):
        super().__init__(daemon=True)
        dice = random.Random(seed)
        self.log, self.dice, self.killed, self.over = log, dice, 0, False
        self.moments = sorted(dice.uniform(0.1, 0.9) * TOTAL for _ in range(kills))

    def run(self):
        while not self.over and self.moments:
            alive = [each for each in multiprocessing.active_children() if each.name.startswith("worker of")]
            if alive and asked(self.log) >= self.moments[0]:
                self.moments.pop(0)
                self.dice.choice(alive).kill()
                self.killed += 1
            time.sleep(0.01)


def kill(monkeypatch, store, tmp_path, name: str, kills: int, count: int, seed: int) -> int:
    log = tmp_path / f"{name}.txt"
    monkeypatch.setenv(LOG, str(log))
    monkeypatch.setattr(workers, "POLL_S", 0.05)
    monkeypatch.setattr(
        workers, "CONTEXT", multiprocessing.get_context("spawn")
    )  # a fork server keeps its old environment
    tree = costly_tree(name, tmp_path, TOTAL, trials=8, population=1, reruns=0)
    prepared = prepare(parse_spec(tree, name), storage_url=store.storage)
    killer = Killer(log, kills, seed)
    killer.start()
    done = workers.run_workers(prepared, store.storage, store.tracking, count)
    killer.over = True
    queries = StudyRecord.of(load_study(store.storage, name)).queries
    assert asked(log) <= sum(queries.values()) <= TOTAL
    assert done.promoted is not None and done.progress.ended == 8
    return killer.killed


def test_a_killed_worker_leaves_the_total(monkeypatch, store, tmp_path):
    assert kill(monkeypatch, store, tmp_path, "costly-kill", 1, 2, seed=1) == 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_four_workers_twenty_times(monkeypatch, store, tmp_path, seed):
    assert kill(monkeypatch, store, tmp_path, f"costly-kills-{seed}", 4, 4, seed) > 0
