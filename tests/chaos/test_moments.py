"""A study is stopped, ended or cut off at random moments; the same command, run again, makes exactly its trials."""

import random
import signal
import time

import pytest
import yaml
from aftermath import assert_whole
from optuna.trial import TrialState
from processes import command_line

from dfkd_tune.errors import NotFound

pytestmark = pytest.mark.slow

MOMENTS, TRIALS, SESSION_COUNT = 30, 10, 2
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


def test_thirty_moments(start, store, tree, tmp_path):
    """Sessions of a study get one signal at a random moment of the time that it takes, and are started again; then the next study."""
    dice, met, counts = random.Random(2), dict.fromkeys(SIGNALS, 0), []
    found: list[int] = []

    def begin(name: str) -> list:
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump(tree(name, trials=TRIALS, reruns=1, budget={"steps": 400, "pool": 2000})))
        return [start(command_line, tmp_path, "study", file, *store.options) for _ in range(SESSION_COUNT)]

    begun = time.monotonic()
    assert [session.wait(600) for session in begin("calm")] == [0] * SESSION_COUNT
    span = time.monotonic() - begun
    while sum(met.values()) < MOMENTS:
        name, done = f"moments-{len(counts)}", False
        while not done and sum(met.values()) < MOMENTS:
            sessions = begin(name)
            time.sleep(dice.uniform(0.05, 1.0) * span)
            number = dice.choice(SIGNALS)
            alive = [session for session in sessions if session.alive()]
            for session in alive:
                session.send(number)
            statuses = [session.wait(600) for session in sessions]
            assert set(statuses) <= {0, 130, -number}, [session.said for session in sessions]
            done = 0 in statuses
            if alive:
                met[number] += 1
                found.append(len(ended(store, name)))
            if number != signal.SIGKILL and set(statuses) <= {0, 130}:
                assert TrialState.RUNNING not in {trial.state for trial in trials_of(store, name)}
        assert 0 in [session.wait(600) for session in begin(name)]
        counts.append(assert_whole(store.storage, store.tracking, name, TRIALS))
    assert len(set(found)) > 3, "always the same moment"
    print({number.name: times for number, times in met.items()}, f"{span:.0f} s", "ended by then:", found, counts)


def trials_of(store, name: str) -> list:
    """None before the study was made."""
    try:
        return store.trials(name)
    except NotFound:
        return []


def ended(store, name: str) -> list:
    return [trial for trial in trials_of(store, name) if trial.state.is_finished()]
