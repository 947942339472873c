"""Where a study stands while it runs, and what it came to."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING

import optuna
from optuna.trial import FrozenTrial, TrialState

from dfkd_tune.search.attributes import REASON, StudyRecord
from dfkd_tune.search.ranking import Promoted, run_name, top_candidates, wanted
from dfkd_tune.training import metrics as metric
from dfkd_tune.training.rungs import RUNGS

if TYPE_CHECKING:  # a study file names strategies, which import PyTorch
    from dfkd_tune.search.study_file import StudySection


@dataclass(frozen=True)
class RunningTrial:
    """A student in training: its run's name, steps or rungs done and to do, last RMSE on the pruning bank."""

    key: str
    step: int
    steps: int
    rmse: float | None
    unit: str = "step"


@dataclass(frozen=True)
class FinishedTrial:
    """A trial that has ended: its state, its objective where it is complete, why where it is not."""

    trial: int
    state: str
    objective: float | None
    reason: str | None


@dataclass
class Progress:
    """Where a study stands, for whoever shows it.

    Args:
        total, done, pruned, failed, running: trials; ``done`` are complete.
        best: objective of the best complete trial, and its number.
        baseline: objective of the untuned preset, None until it is known.
        reruns: re-runs of leaders on record, and all of them; None while trials are left.
        share: of all student steps of this session that are done, re-runs included, 0 to 1.
        worth: what one trial adds to ``share``.
        typical: seconds of computing that a complete trial took; None before the first.
        seconds: since this session started.
        flying: students in training.
        landed: trials that have ended, by number, in the order in which they did.
        before: how many of them had ended when this session started.
        waiting: what a session without work waits for; None where it works.
    """

    total: int
    done: int = 0
    pruned: int = 0
    failed: int = 0
    running: int = 0
    best: tuple[float, int] | None = None
    baseline: float | None = None
    reruns: tuple[int, int] | None = None
    share: float = 0.0
    worth: float = 0.0
    typical: float | None = None
    seconds: float = 0.0
    flying: list[RunningTrial] = field(default_factory=list)
    landed: dict[int, FinishedTrial] = field(default_factory=dict)
    before: int = 0
    waiting: str | None = None

    @property
    def ended(self) -> int:
        """Trials that are over."""
        return self.done + self.pruned + self.failed

    @property
    def pace(self) -> float | None:
        """Trials a minute in this session; None before the first."""
        fresh = self.ended - self.before
        return 60 * fresh / self.seconds if fresh > 0 and self.seconds > 0 else None

    @property
    def bests(self) -> list[float]:
        """The best objective so far after each complete trial, in their order."""
        values = [each.objective for each in self.landed.values() if each.objective is not None]
        return list(accumulate(filter(math.isfinite, values), min))

    @property
    def left(self) -> float | None:
        """Seconds to go at the pace so far; None before a trial is complete, as a finish may take far less than its share."""
        told = self.typical is not None and self.share > 0.02
        return self.seconds * (1 - self.share) / self.share if told else None


def study_progress(study: optuna.Study, about: StudySection, before: int, seconds: float) -> Progress:
    """Where a study stands now, trials in flight left out of its share.

    Args:
        study: on record.
        about: what was asked of it.
        before: trials that had ended when this session began.
        seconds: since this session began.
    """
    trials = study.get_trials(deepcopy=False)
    states = [trial.state for trial in trials]
    p = Progress(
        about.trials,
        states.count(TrialState.COMPLETE),
        states.count(TrialState.PRUNED),
        states.count(TrialState.FAIL),
        states.count(TrialState.RUNNING),
        min(((t.values[0], t.number) for t in trials if t.state == TrialState.COMPLETE), default=None),
        seconds=seconds,
        flying=[_running(trial) for trial in trials if trial.state == TrialState.RUNNING],
        landed={trial.number: _finished(trial) for trial in _by_end(trials)},
        before=before,
    )
    took = [trial.user_attrs[metric.SECONDS] for trial in trials if trial.state == TrialState.COMPLETE]
    p.typical = statistics.mean(took) if took else None
    known = StudyRecord.of(study)
    p.baseline = known.baseline
    ended, again = sum(trial.state.is_finished() for trial in trials[: about.trials]), 0
    extra = min(about.leaders, about.trials) * about.reruns
    if ended >= about.trials and extra:
        leading = top_candidates(study, about.leaders)
        extra = len(leading) * about.reruns
        again = extra - len(wanted(leading, about.reruns, known.reruns))
        p.reruns = (again, extra)
    p.worth = 1 / max(1, about.trials - before + extra)
    p.share = min(1.0, (ended - before + again) * p.worth)
    return p


def totals(study: optuna.Study, now: Progress) -> dict[str, float]:
    """What a study came to, as the figures of its own run; ``trial_teacher_rows`` are those asked for single trials."""
    found: dict[str, float] = {
        "trials": now.done + now.pruned + now.failed,
        "complete": now.done,
        "pruned": now.pruned,
        "failed": now.failed,
        "trial_teacher_rows": sum(t.user_attrs.get(metric.TEACHER_ROWS, 0) for t in study.get_trials(deepcopy=False)),
    }
    if now.best is not None:
        found |= {"best": now.best[0], "best_trial": now.best[1]}
    known = StudyRecord.of(study)
    if known.baseline is not None and math.isfinite(known.baseline):
        found |= {"baseline": known.baseline, "baseline_rmse": known.untuned[metric.RMSE]}
    return found


def _running(trial: FrozenTrial) -> RunningTrial:
    """A trial that is trained anywhere, by the rungs that it reported."""
    rung = trial.last_step or 0
    return RunningTrial(run_name(trial.number), rung, RUNGS, trial.intermediate_values.get(rung), "rung")


def _finished(trial: FrozenTrial) -> FinishedTrial:
    objective = trial.values[0] if trial.state == TrialState.COMPLETE else None
    return FinishedTrial(trial.number, trial.state.name, objective, trial.user_attrs.get(REASON))


def _by_end(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    ended = [trial for trial in trials if trial.state.is_finished()]
    return sorted(ended, key=lambda trial: (trial.datetime_complete or datetime.min, trial.number))


@dataclass(frozen=True)
class StudyResult:
    """What a study came to.

    Args:
        name: of the study.
        best: objective and number of the best complete trial, None when there is none.
        promoted: the student that the study ends with, None when there is none.
        baseline: RMSE of the untuned preset on the selection bank, in the teacher's units.
        report: RMSE of the promoted student on the report bank, in the teacher's units.
        tracking_uri, storage_url: where it is recorded.
        progress: the final counts.
    """

    name: str
    best: tuple[float, int] | None
    promoted: Promoted | None
    baseline: float | None
    report: float | None
    tracking_uri: str
    storage_url: str
    progress: Progress
