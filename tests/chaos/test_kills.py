"""Workers are killed at random moments, and the study still makes exactly its trials."""

import multiprocessing
import random
import time

import pytest
from aftermath import assert_whole

from dfkd_tune.search.progress import Progress
from dfkd_tune.study import workers

pytestmark = pytest.mark.usefixtures("undrawn")

TINY = {"population": 2, "leaders": 2, "reruns": 1}
KILLS, TRIALS, WORKERS = 60, 500, 4
"""Of the long test."""


class Killer:
    """Kills a random worker each time so many more trials have ended."""

    def __init__(self, kills: int, total: int, seed: int):
        dice = random.Random(seed)
        self.moments, self.dice, self.killed = sorted(dice.uniform(0.05, 0.9) * total for _ in range(kills)), dice, 0

    def __call__(self, progress: Progress) -> None:
        ended = progress.done + progress.pruned + progress.failed
        alive = [each for each in multiprocessing.active_children() if each.name.startswith("worker of")]
        if self.moments and ended >= self.moments[0] and alive and progress.running:
            self.moments.pop(0)
            self.dice.choice(alive).kill()
            self.killed += 1


def kill_workers(monkeypatch, prepared, storage: str, tracking: str, count: int, kills: int, seed: int) -> dict:
    monkeypatch.setattr(workers, "POLL_S", 0.05)
    killer = Killer(kills, prepared.spec.study.trials, seed)
    done = workers.run_workers(prepared, storage, tracking, count, on_progress=killer)
    assert done.best is not None and done.promoted is not None
    counts = assert_whole(storage, tracking, prepared.spec.name, prepared.spec.study.trials)
    return counts | {"kills": killer.killed}


@pytest.mark.parametrize("about", [{}, {"seed": 1}], ids=["steady", "rounds"])
def test_two_kills(monkeypatch, store, tiny, about):
    name = f"kills-{len(about)}"
    prepared = tiny(
        name, trials=8, budget={"steps": 600}, **TINY | about
    )  # long enough that none is over between two looks
    counts = kill_workers(monkeypatch, prepared, store.storage, store.tracking, 2, 2, seed=3)  # at 2 and 4 of 8
    assert counts["kills"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_sixty_kills(monkeypatch, request, store, tiny, kind):
    storage = store.storage if kind == "sqlite" else request.getfixturevalue("postgresql")
    prepared, begun = tiny(f"sixty-kills-{kind}", trials=TRIALS, **TINY), time.monotonic()
    counts = kill_workers(monkeypatch, prepared, storage, store.tracking, WORKERS, KILLS, seed=1)
    print(kind, counts, f"{time.monotonic() - begun:.0f} s")
    assert counts["kills"] == KILLS
    assert counts["requeued"] > KILLS // 6
