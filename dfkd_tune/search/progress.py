"""The progress of a running study, and the result of a finished one."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING

import optuna
from optuna.trial import FrozenTrial, TrialState

from dfkd_tune.search.attributes import REASON, StudyRecord
from dfkd_tune.search.ranking import Promoted, choose, pruned_names, run_name, top_candidates, wanted
from dfkd_tune.training import metrics as metric
from dfkd_tune.training.rungs import RUNGS

if TYPE_CHECKING:  # a study file names strategies, which import PyTorch
    from dfkd_tune.search.study_file import StudySection


@dataclass(frozen=True)
class RunningTrial:
    """A student in training: name of its run, steps or rungs done and in total, last RMSE on the pruning bank."""

    key: str
    step: int
    steps: int
    rmse: float | None
    unit: str = "step"


@dataclass(frozen=True)
class FinishedTrial:
    """A finished trial: its state, its objective if it is complete, and otherwise the reason."""

    trial: int
    state: str
    objective: float | None
    reason: str | None


@dataclass
class Progress:
    """The progress of a study, for display.

    Args:
        total, done, pruned, failed, running: numbers of trials; ``done`` counts complete ones.
        best: objective and number of the best complete trial.
        baseline: objective of the untuned baseline; None until it is known.
        reruns: number of finished re-runs and of all re-runs; None while trials are to begin.
        pruned_students: number of pruned students that are trained, and about how many will be; None unless the smallest student is
            searched now.
        share: share of this session's student steps that is done, re-runs included, 0 to 1.
        worth: contribution of one trial to ``share``.
        typical: mean training time of a complete trial in seconds; None before the first.
        seconds: duration of this session so far.
        running_trials: students in training.
        finished_trials: number -> finished trial, in order of completion.
        before: number of trials that had finished when this session started.
        waiting: what an idle session waits for; None while it works.
        queries: teacher rows that were asked, of how many in all; None without a total.
    """

    total: int
    done: int = 0
    pruned: int = 0
    failed: int = 0
    running: int = 0
    best: tuple[float, int] | None = None
    baseline: float | None = None
    reruns: tuple[int, int] | None = None
    pruned_students: tuple[int, int] | None = None
    share: float = 0.0
    worth: float = 0.0
    typical: float | None = None
    seconds: float = 0.0
    running_trials: list[RunningTrial] = field(default_factory=list)
    finished_trials: dict[int, FinishedTrial] = field(default_factory=dict)
    before: int = 0
    waiting: str | None = None
    queries: tuple[int, int] | None = None

    @property
    def ended(self) -> int:
        """Number of finished trials."""
        return self.done + self.pruned + self.failed

    @property
    def pace(self) -> float | None:
        """Finished trials per minute in this session; None before the first."""
        fresh = self.ended - self.before
        return 60 * fresh / self.seconds if fresh > 0 and self.seconds > 0 else None

    @property
    def bests(self) -> list[float]:
        """The best objective so far after each complete trial, in order of completion."""
        values = [each.objective for each in self.finished_trials.values() if each.objective is not None]
        return list(accumulate(filter(math.isfinite, values), min))

    @property
    def left(self) -> float | None:
        """Estimated seconds left; None before a trial is complete, as a finish may take far less than its share."""
        estimated = self.typical is not None and self.share > 0.02
        return self.seconds * (1 - self.share) / self.share if estimated else None


def study_progress(
    study: optuna.Study, about: StudySection, before: int, seconds: float, pruning: bool = False
) -> Progress:
    """Compute the progress of a study; running trials do not count for its share.

    Args:
        study: the recorded study.
        about: the section ``study`` of its study file.
        before: number of trials that had finished when this session began.
        seconds: duration of this session so far.
        pruning: whether the smallest student is searched now.
    """
    trials = study.get_trials(deepcopy=False)
    states = [trial.state for trial in trials]
    p = Progress(
        max(about.trials, sum(state.is_finished() for state in states)),  # a later call may ask for fewer
        states.count(TrialState.COMPLETE),
        states.count(TrialState.PRUNED),
        states.count(TrialState.FAIL),
        states.count(TrialState.RUNNING),
        min(((t.values[0], t.number) for t in trials if t.state == TrialState.COMPLETE), default=None),
        seconds=seconds,
        running_trials=[_running(trial) for trial in trials if trial.state == TrialState.RUNNING],
        finished_trials={trial.number: _finished(trial) for trial in _by_end(trials)},
        before=before,
    )
    took = [trial.user_attrs[metric.SECONDS] for trial in trials if trial.state == TrialState.COMPLETE]
    p.typical = statistics.mean(took) if took else None
    known = StudyRecord.of(study)
    p.baseline = known.baseline if known.is_baseline_known else None
    p.queries = None if known.total_queries is None else (sum(known.queries.values()), known.total_queries)
    ended, again = sum(trial.state.is_finished() for trial in trials[: about.trials]), 0
    extra = min(about.leaders, about.trials) * about.reruns
    if (ended >= about.trials or known.is_late) and extra:
        leading = top_candidates(study, about.leaders)
        extra = len(leading) * about.reruns
        again = extra - len(wanted(leading, about.reruns, known.reruns, known.answered, known.committee))
        p.reruns = (again, extra)
        if pruning and (best := choose(leading, known.reruns)) is not None:
            made = sum(name.startswith(pruned_names(best.trial)) for name in known.smaller)
            p.pruned_students = (made, max(made, about.pruned_students))
    pruned, further = p.pruned_students or (0, about.pruned_students)
    pruned = pruned if pruning or known.smallest is None else further
    longer = known.rerun_length
    untuned = longer > 1 and not before  # else it is as one trial more, or known since an earlier session
    whole, done = extra + further + untuned, again + pruned + (untuned and p.baseline is not None)
    p.worth = 1 / max(1, about.trials - before + longer * whole)
    p.share = min(1.0, (ended - before + longer * done) * p.worth)
    return p


def totals(study: optuna.Study, now: Progress) -> dict[str, float]:
    """The metrics of a study's parent run; ``trial_teacher_rows`` counts the queries of single trials, ``queries/`` those of each part of a total."""
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
    if known.total_queries is None:
        return found
    asked = {f"queries/{part}": rows for part, rows in known.queries.items()}
    return found | asked | {"total_queries": known.total_queries, "shared_teacher_rows": sum(known.queries.values())}


def _running(trial: FrozenTrial) -> RunningTrial:
    """A trial that trains in any process, with the rungs that it reported."""
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
    """The result of a study.

    Args:
        name: name of the study.
        best: objective and number of the best complete trial; None if there is none.
        promoted: the student that the study promoted; None if there is none.
        baseline: RMSE of the untuned baseline on the selection bank, in the teacher's units.
        report: RMSE of the promoted student on the report bank, in the teacher's units.
        tracking_uri, storage_url: URIs of MLflow and of the Optuna storage.
        progress: the final progress.
        by_output: of several outputs, name -> RMSE of the promoted student on the report bank, in the teacher's units and over the
            output's standard deviation.
        baseline_rows: answered rows that the untuned baseline trained on; None without a total number of queries.
    """

    name: str
    best: tuple[float, int] | None
    promoted: Promoted | None
    baseline: float | None
    report: float | None
    tracking_uri: str
    storage_url: str
    progress: Progress
    by_output: Mapping[str, Sequence[float]] = field(default_factory=dict)
    baseline_rows: int | None = None
