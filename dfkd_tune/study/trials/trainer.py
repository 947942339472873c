"""The trials that one process trains: taken up, trained to the next rung, reported to Optuna, pruned or finished, recorded."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.trial import TrialState

from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.search.attributes import BASELINE, UNTUNED, StudyRecord
from dfkd_tune.search.locks import StudyLock
from dfkd_tune.search.optuna_kinds import AUTO, WARMUP
from dfkd_tune.search.ranking import run_name
from dfkd_tune.search.sampling import smoothed
from dfkd_tune.search.trial_queue import Heartbeat, TrialQueue
from dfkd_tune.study.ending import ending, stopped
from dfkd_tune.study.prepare import Prepared
from dfkd_tune.study.trials.active_trial import ActiveTrial
from dfkd_tune.study.trials.claims import Claims
from dfkd_tune.study.trials.progress_view import POLL_S, ProgressView
from dfkd_tune.tracking import params as param
from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.tags import RunKind
from dfkd_tune.tracking.tracker import Tracker
from dfkd_tune.training.distill import conclude
from dfkd_tune.training.member import Member
from dfkd_tune.training.population import Population
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils.seeding import derive

LOG = logging.getLogger(__name__)


@dataclass
class Trainer:
    """Trains trials, and the untuned baseline beside them.

    Args:
        prepared, study, known: the study, and its record when this process began.
        queue, claims: its trial queue, and how trials are claimed.
        problem, tracker: teacher, pool and banks; MLflow records.
        view, heartbeat: progress for display; heartbeats of the trials.
        baseline_lock: held by the process that trains the baseline.
        should_stop: called at every rung; true leaves trials unfinished.
        active: the trials in training by the names of their runs, and the baseline.
        owned: time of the last check that the trials are this worker's.
    """

    prepared: Prepared
    study: optuna.Study
    known: StudyRecord
    queue: TrialQueue
    claims: Claims
    problem: Problem
    tracker: Tracker
    view: ProgressView
    heartbeat: Heartbeat
    baseline_lock: StudyLock
    should_stop: Callable[[], bool]
    active: dict[str, ActiveTrial] = field(default_factory=dict)
    owned: float = 0.0
    population: Population = field(init=False)

    def __post_init__(self) -> None:
        self.population = Population(self.problem)

    @property
    def total(self) -> int:
        """Total number of trials of the study."""
        return self.prepared.spec.study.trials

    def stop(self) -> None:
        """End the MLflow runs of all trials in training, as their process stops."""
        for key, running in self.active.items():
            stopped(running.member.curve).close(self.tracker, key)

    def refill(self) -> None:
        """Take up trials until there is no room or no trial left, and the baseline beside them."""
        while not (late := self.known.is_late) and not self.should_stop():
            taken = self.claims.take(self.total, len(self.active.keys() - {BASELINE}), BASELINE in self.active)
            if taken.baseline:
                self._take_up_baseline()
            for each in taken.trials:
                self.heartbeat.watch(each.trial)
                seed = derive(self.prepared.spec.study.seed, "trial", each.trial.number)
                self._admit(each.trial, run_name(each.trial.number), each.recipe, seed, each.again)
            if not taken.trials:
                break
        if not self.active and (late or not self.queue.unfinished(self.total)):
            self._take_up_baseline()

    def _take_up_baseline(self) -> None:
        """Start the untuned baseline unless a worker has run it or is running it."""
        known = (
            self.view.progress.baseline is not None and self.problem.answered_rows is None
        )  # else rows may have been asked since
        if known or BASELINE in self.active:
            return
        if self.baseline_lock.acquire():
            if not StudyRecord.of(self.study).is_baseline_known:
                self.claims.catch_up()
                seed = derive(self.prepared.spec.study.seed, BASELINE)
                self._admit(None, BASELINE, self.prepared.baseline(), seed, again=True)
            else:
                self.baseline_lock.release()

    def _admit(self, trial: optuna.Trial | None, key: str, recipe: Recipe, seed: int, again: bool) -> None:
        member = Member(key, recipe, seed)
        self.population.admit(member)
        self.active[key], self.view.changed = ActiveTrial(key, trial, member), True
        params = recipe.leaves() | {param.SEED: seed} | ({param.TRIAL: trial.number} if trial else {})
        tags = {tag.TIER: self.problem.inputs.tier}
        self.tracker.open_run(key, RunKind.TRIAL if trial else RunKind.BASELINE, params, tags, again)

    def step(self) -> None:
        """Train all to the next rung, and report, prune or finish those that reached it."""
        start = time.perf_counter()
        due = self.population.advance()
        self.reached(due, (time.perf_counter() - start) / len(self.active))

    def reached(self, due: Sequence[Member], took: float) -> None:
        """Report, prune or finish those that reached a rung in a step of ``took`` seconds for each member."""
        for running in self.active.values():
            running.seconds += took
        keys = {member.key for member in due}
        self._judge([running for key, running in self.active.items() if key in keys])

    def _judge(self, due: list[ActiveTrial]) -> None:
        """Report each trial at a rung to Optuna, then prune it, finish it or let it go on."""
        lost: set[int] = set()
        if time.monotonic() - self.owned >= POLL_S:
            lost, self.owned = self.queue.lost([each.trial for each in due if each.trial is not None]), time.monotonic()
        for running in due:
            if running.trial is not None and running.trial.number in lost:
                self._lose(running)
        due = [running for running in due if running.key in self.active]
        pruning = self.prepared.spec.study.pareto is None  # Optuna prunes only with a single objective
        own = self.prepared.spec.pruner.kind == AUTO
        warmup, why = (WARMUP, "among the worst quarter") if own else (0, "stopped by the pruner")
        if pruning:
            reports = {
                running.trial: (m.rung, math.nan if m.failure else smoothed(m.curve))
                for running in due
                if running.trial is not None and (m := running.member)
            }
            self.claims.report(reports)
        with self.queue.storage.cached_reads(POLL_S):
            for running in due:
                if self.should_stop():  # unfinished trials go back to the queue
                    return
                member, late = running.member, pruning and running.member.rung >= warmup
                if late and running.trial is not None and not member.spent and self.claims.should_prune(running.trial):
                    self._finish_trial(running, pruned=f"{why} at step {member.clock}")
                elif member.finished:
                    self._finish_trial(running)
                    self.view.show(self.active.values(), fresh=False)

    def _finish_trial(self, running: ActiveTrial, pruned: str | None = None) -> None:
        """Take a finished or pruned trial out of training, evaluate it, and record it in MLflow and Optuna."""
        if running.trial is not None and self.queue.lost([running.trial]):
            self._lose(running)
            return
        member = self.population.release(running.key)
        outcome = conclude(self.problem, member, running.seconds, refine=pruned is None)
        section = self.prepared.spec.study
        number = running.trial.number if running.trial else None
        about = {"study": self.prepared.spec.name, "trial": number, "run": running.key}
        weighed: dict[str, Any] = {"pareto": section.pareto, "runtime": section.runtime}
        ended = ending(self.problem, outcome, section.objective, **weighed, pruned=pruned, about=about)
        del self.active[running.key]  # until here a failing teacher puts the trial back in the queue
        self.view.changed = True
        # MLflow's record first: if this process dies, every trial that Optuna counts as done has its student on disk.
        attributes = ended.close(self.tracker, running.key)
        if running.trial is None:
            untuned = {UNTUNED: attributes, BASELINE: ended.values[0] if ended.values else math.nan}
            self.queue.storage.note(self.study, untuned)
            self.baseline_lock.release()
            return
        limits = ended.constraints(self.prepared.space.max_parameters)
        notes = self.claims.notes(running.trial)
        if not self.queue.complete(running.trial, TrialState[ended.state], ended.values, attributes, limits, notes):
            LOG.warning("trial %d was taken by another worker while its student was recorded", running.trial.number)
        self.heartbeat.forget(running.trial)

    def _lose(self, running: ActiveTrial) -> None:
        """Drop a trial that another worker took over because this one sent no heartbeat in time."""
        self.population.release(running.key)
        del self.active[running.key]
        if running.trial is not None:
            self.heartbeat.forget(running.trial)
        stopped(running.member.curve).close(self.tracker, running.key)
