"""Run a study in one process or several: claim trials from the queue, train, report to Optuna, prune, record the results."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
import torch
from optuna.trial import TrialState

from dfkd_tune.errors import DfkdError, Interrupted
from dfkd_tune.locations.paths import shared_folder
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.search.attributes import BASELINE, SUMMARY, UNTUNED, StudyRecord
from dfkd_tune.search.locks import StudyLock, as_many_as_are_free, exclusive, rerun_lock, study_locks
from dfkd_tune.search.optuna_kinds import AUTO, WARMUP
from dfkd_tune.search.progress import Progress, StudyResult, totals
from dfkd_tune.search.ranking import Candidate, Promoted, ranked, run_name, top_candidates
from dfkd_tune.search.recorded_recipes import recipe_of
from dfkd_tune.search.sampling import smoothed, without_experimental_warnings
from dfkd_tune.search.storage import PatientStorage
from dfkd_tune.search.trial_queue import Heartbeat, TrialQueue
from dfkd_tune.study.calibration import paying_threads
from dfkd_tune.study.ending import ending, stopped, study_ending
from dfkd_tune.study.opening import open_queue
from dfkd_tune.study.prepare import Prepared
from dfkd_tune.study.reruns import Rerunner
from dfkd_tune.study.trials.active_trial import ActiveTrial
from dfkd_tune.study.trials.claims import Claims
from dfkd_tune.study.trials.handing_out import claims_of
from dfkd_tune.study.trials.progress_view import POLL_S, ProgressView
from dfkd_tune.tracking import params as param
from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.context import within
from dfkd_tune.tracking.states import RunStatus, State
from dfkd_tune.tracking.tags import RunKind
from dfkd_tune.tracking.tracker import Tracker
from dfkd_tune.training import metrics as metric
from dfkd_tune.training.distill import conclude
from dfkd_tune.training.member import Member
from dfkd_tune.training.population import Population
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils import hardware
from dfkd_tune.utils.seeding import derive

LOG = logging.getLogger(__name__)

WATCH = 10.0
"""Seconds between two checks for dead workers."""
IDLE = 1.0
"""Seconds between two checks of an idle worker, which takes up the trials of workers that die."""


def run_study(
    prepared: Prepared,
    storage_url: str,
    tracking_uri: str,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
    *,
    joining: bool = False,
    threads: int = 1,
) -> StudyResult:
    """Run a study up to its total number of trials, or resume it. Any number of processes may call this at the same time.

    Args:
        prepared: the study.
        storage_url, tracking_uri: URL of Optuna's storage and MLflow tracking URI.
        on_progress: called with the progress at every rung.
        should_stop: called at every rung; true stops the study.
        joining: join a study that another process recorded, without recording the study itself.
        threads: most computing threads; more than one are used if they pay when the first trial starts.

    Raises:
        StudyMismatch: if a study of that name has another teacher, space or objective.
        StorageError, TrackingError: before any trial if a store cannot be used; later if records cannot be written.
        Interrupted: if ``should_stop`` returned true; running trials are back in the queue.
    """
    with within(study=prepared.spec.name), hardware.threads(1):
        return StudyRunner(prepared, storage_url, tracking_uri, on_progress, should_stop, joining, threads).run()


@dataclass
class StudyRunner:
    """One process working on a study.

    Args:
        prepared, storage_url, tracking_uri, on_progress, should_stop, joining, threads: as in ``run_study``.
        active: the trials in training by the names of their runs, and the baseline.
        watched, owned: time of the last check for dead workers, and of the last check that the trials are this worker's.
        study, queue, storage, known: the study, its trial queue and storage, and its record when this process began.
        problem, tracker: teacher, pool and banks; MLflow records.
        population, claims: students in training; how trials are claimed.
        heartbeat, view: heartbeats of the trials; progress for display.
        baseline_lock: held by the process that trains the baseline.
        summary_before: summary of the study when this process began; None in a process that joined.
    """

    prepared: Prepared
    storage_url: str
    tracking_uri: str
    on_progress: Callable[[Progress], None]
    should_stop: Callable[[], bool]
    joining: bool
    threads: int
    active: dict[str, ActiveTrial] = field(default_factory=dict)
    watched: float = 0.0
    owned: float = 0.0

    study: optuna.Study = field(init=False)
    queue: TrialQueue = field(init=False)
    storage: PatientStorage = field(init=False)
    known: StudyRecord = field(init=False)
    problem: Problem = field(init=False)
    tracker: Tracker = field(init=False)
    population: Population = field(init=False)
    claims: Claims = field(init=False)
    heartbeat: Heartbeat = field(init=False)
    baseline_lock: StudyLock = field(init=False)
    summary_before: Mapping[str, Any] | None = field(init=False)
    view: ProgressView = field(init=False)

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.prepared.spec.name

    @property
    def total(self) -> int:
        """Total number of trials of the study."""
        return self.prepared.spec.study.trials

    def run(self) -> StudyResult:
        spec = self.prepared.spec
        self.study, self.queue = open_queue(self.prepared, self.storage_url, self.tracking_uri, self.joining)
        self.summary_before = None if self.joining else StudyRecord.of(self.study).summary
        self.storage = self.queue.storage
        self.baseline_lock = StudyLock(self.storage, self.storage_url, self.study, BASELINE)
        self.known = known = StudyRecord.of(self.study)  # with the time at which all workers stop
        shared = shared_folder(self.storage_url, "answers")
        assert known.population is not None  # always recorded with the study
        self.prepared = self.prepared.with_population(known.population)
        # Queries of a slow teacher may take minutes before the first rung.
        self.prepared.teacher.guard.check_cancelled = self._check_cancelled
        problem = self.prepared.problem(known.pool, known.pool_gradients, shared, self._check_cancelled)
        self.problem = self.prepared.stressed(problem, self._check_cancelled, shared)
        with exclusive(self.storage, self.storage_url):  # two processes would create two parent runs
            # ``open_queue`` checked that MLflow is up; an outage after that only delays the upload.
            self.tracker = Tracker(self.tracking_uri, self.name, self.storage_url, known=True)
            tags = self.prepared.tags() | {tag.WORKERS: known.workers}
            self.tracker.open_study(self.prepared.params(self.problem.pool), tags)
        self._watch()
        self._tidy()
        recipe, population = self.prepared.space.preset, self.prepared.population
        torch.set_num_threads(paying_threads(self.problem, recipe, population, self.threads))
        self.population = Population(self.problem)
        self.claims = claims_of(self.queue, self.prepared, known, self.problem, self._check_cancelled)
        before = self.total - self.queue.unfinished(self.total)
        self.view = ProgressView(self.study, spec.study, before, self.on_progress)
        with Heartbeat(self.queue) as self.heartbeat, without_experimental_warnings():
            try:
                self._run_trials()
                self._rerun()
                with rerun_lock(self.storage, self.storage_url, self.study, self._wait_for_reruns):
                    self._rerun(everything=True)
                    self.tracker.close_all_running()  # no process works on a run any more
                    return self._conclude()
            except BaseException:
                self._abandon()
                raise

    def _run_trials(self) -> None:
        """Work until all trials of all workers have ended and the baseline is known."""
        while True:
            self._check_cancelled()
            self._refill()
            if self.active:
                self._show()
                self._step()
                self._watch(WATCH)
            elif not self._is_over():
                self._wait(self.queue.held(self.total))
                time.sleep(self.claims.pause)  # other workers hold the remaining trials, and may die
                self._watch(IDLE)
            else:
                return self._show()

    def _is_over(self) -> bool:
        """Whether no worker has a trial, and none will begin; the baseline must be known."""
        if StudyRecord.of(self.study).baseline is None:
            return False
        return not (self.queue.owners() if self.known.is_late else self.queue.unfinished(self.total))

    def _step(self) -> None:
        start = time.perf_counter()
        due = {member.key for member in self.population.advance()}
        took = (time.perf_counter() - start) / len(self.active)
        for running in self.active.values():
            running.seconds += took
        self._judge([running for key, running in self.active.items() if key in due])

    def _watch(self, every: float = 0.0) -> None:
        """Requeue the trials of dead workers in Optuna and MLflow, at most once in ``every`` seconds."""
        if time.monotonic() - self.watched < every:
            return
        for taken in self.queue.requeue_stale():
            LOG.info("trial %d: its worker died, %s", taken.number, taken.failed or "another takes it up")
            if taken.failed:  # otherwise the worker that takes up the trial ends its old run
                failed = stopped((), taken.failed, State.FAIL)
                self.tracker.close_orphan(run_name(taken.number), failed.status, failed.tags)
        self.watched = time.monotonic()

    def _tidy(self) -> bool:
        """If no other worker is alive, end the runs that dead workers left RUNNING; returns whether that is so."""
        locks = study_locks(self.storage, self.storage_url, self.study)
        with as_many_as_are_free(self.storage, locks) as all_free:
            last = all_free and not self.queue.owners()
            if last:
                self.tracker.close_all_running()
                self.tracker.flush()
        return last

    def _rerun(self, everything: bool = False) -> None:
        """Run the parts of the re-runs that no other process runs; with ``everything``, wait for others and run what is left."""
        section = self.prepared.spec.study
        if section.reruns:
            leading = {leader: self._recipe(leader) for leader in top_candidates(self.study, section.leaders)}
            self._show()
            stores = (self.storage, self.storage_url, self.study)
            settings = (section.seed, section.objective, lambda member=None: self._wait(None))
            rerunner = Rerunner(*stores, self.problem, self.tracker, *settings)
            wait = self._wait_for_reruns if everything else None
            parts = self.known.groups or self.known.workers
            rerunner.run_parts(leading, section.reruns, self.prepared.population, parts, wait)
            self.view.changed = True
            self._show()

    def _recipe(self, leader: Candidate) -> Recipe:
        return self.prepared.baseline() if leader.trial is None else recipe_of(self.study.trials[leader.trial])

    def _check_cancelled(self, member: Member | None = None) -> None:
        """Raise ``Interrupted`` if the user wants to stop."""
        if self.should_stop():
            raise Interrupted(self.name)

    def _wait_for_reruns(self) -> None:
        self._wait("the re-runs of another worker")

    def _wait(self, what: str | None) -> None:
        self._show(what)
        self._check_cancelled()

    def _refill(self) -> None:
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
        if self.view.progress.baseline is not None or BASELINE in self.active:
            return
        if self.baseline_lock.acquire():
            if StudyRecord.of(self.study).baseline is None:
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
        with self.storage.cached_reads(POLL_S):
            for running in due:
                if self.should_stop():  # unfinished trials go back to the queue
                    return
                member, late = running.member, pruning and running.member.rung >= warmup
                if late and running.trial is not None and not member.spent and self.claims.should_prune(running.trial):
                    self._finish_trial(running, pruned=f"{why} at step {member.clock}")
                elif member.finished:
                    self._finish_trial(running)
                    self._show(fresh=False)

    def _finish_trial(self, running: ActiveTrial, pruned: str | None = None) -> None:
        """Take a finished or pruned trial out of training, evaluate it, and record it in MLflow and Optuna."""
        if running.trial is not None and self.queue.lost([running.trial]):
            self._lose(running)
            return
        member = self.population.release(running.key)
        outcome = conclude(self.problem, member, running.seconds, refine=pruned is None)
        section = self.prepared.spec.study
        about = {"study": self.name, "trial": running.trial.number if running.trial else None, "run": running.key}
        ended = ending(self.problem, outcome, section.objective, pareto=section.pareto, pruned=pruned, about=about)
        del self.active[running.key]  # until here a failing teacher puts the trial back in the queue
        self.view.changed = True
        # MLflow's record first: if this process dies, every trial that Optuna counts as done has its student on disk.
        attributes = ended.close(self.tracker, running.key)
        if running.trial is None:
            self.study.set_user_attr(UNTUNED, attributes)
            untuned = ended.values[0] if ended.values else math.nan
            self.study.set_user_attr(BASELINE, untuned)  # last, because it marks both as known
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

    def _abandon(self) -> None:
        """Put all trials that this process has claimed back in the queue, and end their MLflow runs."""
        try:
            try:
                for key, running in self.active.items():
                    stopped(running.member.curve).close(self.tracker, key)
            finally:
                self.queue.give_back()
                self.baseline_lock.release()
                self.active.clear()
            if self._tidy():
                self._close(RunStatus.KILLED)
            else:
                self.tracker.close()
        except DfkdError as error:  # do not hide the error that stopped the study
            LOG.warning("the study could not be closed: %s", error)

    def _conclude(self) -> StudyResult:
        known = StudyRecord.of(self.study)
        section = self.prepared.spec.study
        leading = ranked(top_candidates(self.study, section.leaders), known.reruns if section.reruns else {})
        promoted = next(iter(leading), None)
        self.view.read()
        summary, ended = known.summary, self.view.progress.ended
        if summary.get("trials") != ended or summary == self.summary_before:  # no other process wrote the summary
            from dfkd_tune.reporting import publication  # a second's import, for which no worker should wait

            parent = self.tracker.parent if self.tracker.settle() else None  # else ``sync`` completes the rest later
            stores = (self.tracking_uri, self.storage, self.study)
            certificate = publication.publish(*stores, parent, self.problem, leading)
            summary = {"trials": ended, "at": time.time(), **publication.summary_of(certificate)}
            self.study.set_user_attr(SUMMARY, summary)
        self._close(RunStatus.FINISHED, leading, report := summary["report"])
        found = (self.view.progress.best, promoted, known.untuned.get(metric.RMSE), report)
        uris = (self.tracking_uri, self.storage_url)
        return StudyResult(self.name, *found, *uris, self.view.progress, summary.get("by_output", {}))

    def _close(self, status: RunStatus, leading: Sequence[Promoted] = (), report: float | None = None) -> None:
        now = self.view.read()
        counts = {"shared_teacher_rows": self.problem.frozen_rows} | totals(self.study, now)
        metrics, tags = study_ending(counts, now.best, leading, report)
        self.tracker.close_study(status, metrics, tags)

    def _show(self, waiting: str | None = None, fresh: bool = True) -> None:
        self.view.show(self.active.values(), waiting, fresh)
