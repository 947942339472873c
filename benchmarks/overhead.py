"""What Optuna and MLflow take of a study's processor time, beside the trials' own: every call of theirs, timed in its thread."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import optuna

from dfkd_tune.cli.quickstart import quickstart
from dfkd_tune.locations.paths import sqlite_url
from dfkd_tune.search.attributes import StudyRecord
from dfkd_tune.search.rounds.memory import RoundMemory
from dfkd_tune.search.rounds.queue import RoundQueue
from dfkd_tune.search.space.space import Space
from dfkd_tune.search.storage import PatientStorage
from dfkd_tune.search.study_file import read_spec
from dfkd_tune.search.trial_queue import TrialQueue
from dfkd_tune.study.prepare import prepare
from dfkd_tune.study.session import run_study
from dfkd_tune.study.trials import progress_view
from dfkd_tune.tracking.outbox import OutboxSegment
from dfkd_tune.tracking.runs import Runs

PARTS = {
    "optuna": [
        *((TrialQueue, name) for name in ("claim", "complete", "lost", "beat", "report", "unfinished", "owners")),
        (TrialQueue, "requeue_stale"),
        (RoundQueue, "claim"),
        (RoundMemory, "report"),
        (RoundMemory, "should_prune"),
        (Space, "suggest"),
        (PatientStorage, "_write_params"),
        (optuna.Trial, "report"),
        (optuna.Trial, "should_prune"),
        (progress_view, "study_progress"),
        (StudyRecord, "of"),
    ],
    "records on disk": [(OutboxSegment, "append"), (OutboxSegment, "settle")],
    "mlflow": [(Runs, "apply")],
}
"""Whose time -> calls. A call that another one makes counts for the outer one."""


class Meter:
    """Processor seconds by part, and those of them on the thread that trains."""

    def __init__(self):
        self.all, self.training = Counter(), Counter()
        self._lock, self._trainer = threading.Lock(), threading.get_ident()
        self._within = threading.local()

    def timed(self, part: str, call: Callable) -> Callable:
        def wrapper(*args, **kwargs):
            if getattr(self._within, "a_call", False):
                return call(*args, **kwargs)
            self._within.a_call, start = True, time.thread_time()
            try:
                return call(*args, **kwargs)
            finally:
                self._within.a_call = False
                took = time.thread_time() - start
                with self._lock:
                    self.all[part] += took
                    if threading.get_ident() == self._trainer:
                        self.training[part] += took

        return wrapper


def overhead(trials: int, seeded: bool = True) -> dict:
    """The quickstart in one process: milliseconds a trial of each part, over what the trial computes."""
    spec = read_spec(quickstart())
    spec = replace(spec, study=replace(spec.study, trials=trials), seeded=seeded)
    meter = Meter()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        prepared = prepare(spec)
        for part, calls in PARTS.items():
            for owner, name in calls:
                stack.enter_context(patch.object(owner, name, meter.timed(part, getattr(owner, name))))
        begun = os.times()
        storage, uri = (sqlite_url(Path(folder) / f"{name}.db") for name in ("optuna", "mlflow"))
        result = run_study(prepared, storage, uri)
        ended = os.times()
    whole = ended.user + ended.system - begun.user - begun.system
    ended_trials = result.progress.done + result.progress.pruned
    own = (whole - sum(meter.all.values())) / ended_trials
    found = {
        part: {
            "milliseconds": 1e3 * meter.all[part] / ended_trials,
            "on_the_training_thread": 1e3 * meter.training[part] / ended_trials,
            "share": meter.all[part] / ended_trials / own,
        }
        for part in PARTS
    }
    for part, each in found.items():
        print(
            f"{part:<16} {each['milliseconds']:6.1f} ms a trial ({each['on_the_training_thread']:.1f} on the thread that trains), "
            f"{each['share']:.1%} of its own {1e3 * own:.0f} ms",
            flush=True,
        )
    return {"trials": ended_trials, "own_milliseconds": 1e3 * own, "parts": found}
