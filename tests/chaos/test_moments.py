"""A study is stopped, ended or cut off at random moments; the same command, run again, makes exactly its trials."""

import random
import signal
import time

import pytest
import yaml
from aftermath import assert_whole
from conftest import command_line
from optuna.trial import TrialState

pytestmark = pytest.mark.slow

MOMENTS, TRIALS, SESSIONS = 30, 24, 2


def test_thirty_moments(start, store, tree, tmp_path):
    """Two sessions of a study; at a random moment both get the same signal, and both are started again. Done, the next study."""
    dice, met, counts = random.Random(2), dict.fromkeys((signal.SIGINT, signal.SIGTERM, signal.SIGKILL), 0), []
    while sum(met.values()) < MOMENTS:
        name = f"moments-{len(counts)}"
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump(tree(name, trials=TRIALS, population=2, budget={"steps": 400, "pool": 2000})))
        done = False
        while not done and sum(met.values()) < MOMENTS:
            sessions = [start(command_line, tmp_path, "study", file, *store.options) for _ in range(SESSIONS)]
            time.sleep(dice.uniform(0.5, 12.0))  # from before anything is made to well into the trials
            number = dice.choice(list(met))
            alive = [session for session in sessions if session.alive()]
            for session in alive:
                session.send(number)
            statuses = [session.wait() for session in sessions]
            assert set(statuses) <= {0, 130, -number}, [session.said for session in sessions]
            done = 0 in statuses
            met[number] += bool(alive)
            if number != signal.SIGKILL and set(statuses) <= {0, 130}:
                assert not [trial.number for trial in store.trials(name) if trial.state == TrialState.RUNNING]
        last = start(command_line, tmp_path, "study", file, *store.options)
        assert last.wait() == 0, last.said
        counts.append(assert_whole(store.storage, store.tracking, name, TRIALS))
    print({number.name: times for number, times in met.items()}, counts)
