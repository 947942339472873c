"""Run a study in one process or several: claim trials from the queue, train, report to Optuna, prune, record the results."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

import optuna
import torch

from dfkd_tune.errors import DfkdError, Interrupted
from dfkd_tune.locations.paths import shared_folder
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.search.attributes import BASELINE, KNOWLEDGE, STARTED, StudyRecord
from dfkd_tune.search.locks import StudyLock, as_many_as_are_free, exclusive, rerun_lock, study_locks
from dfkd_tune.search.progress import Progress, StudyResult, totals
from dfkd_tune.search.ranking import (
    Candidate,
    Promoted,
    leading_students,
    rows_of,
    run_name,
    top_candidates,
    top_trials,
)
from dfkd_tune.search.recorded_recipes import recipe_of
from dfkd_tune.search.sampling import without_experimental_warnings
from dfkd_tune.search.storage import PatientStorage
from dfkd_tune.search.trial_queue import Heartbeat, TrialQueue
from dfkd_tune.study.calibration import paying_threads
from dfkd_tune.study.ending import published, stopped, study_ending
from dfkd_tune.study.opening import open_queue
from dfkd_tune.study.prepare import Prepared
from dfkd_tune.study.reruns import Rerunner
from dfkd_tune.study.smaller.shrinker import find_smallest
from dfkd_tune.study.trials.handing_out import claims_of
from dfkd_tune.study.trials.progress_view import ProgressView
from dfkd_tune.study.trials.settled import leaders_are_settled
from dfkd_tune.study.trials.trainer import Trainer
from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.context import within
from dfkd_tune.tracking.states import RunStatus, State
from dfkd_tune.tracking.tracker import Tracker
from dfkd_tune.training import metrics as metric
from dfkd_tune.training.distill import Beside
from dfkd_tune.training.member import Member
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils import hardware

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
        watched: time of the last check for dead workers.
        study, queue, storage, known: the study, its trial queue and storage, and its record when this process began.
        problem, tracker: teacher, pool and banks; MLflow records.
        trainer: the trials in training.
        view: progress for display.
    """

    prepared: Prepared
    storage_url: str
    tracking_uri: str
    on_progress: Callable[[Progress], None]
    should_stop: Callable[[], bool]
    joining: bool
    threads: int
    watched: float = 0.0

    study: optuna.Study = field(init=False)
    queue: TrialQueue = field(init=False)
    storage: PatientStorage = field(init=False)
    known: StudyRecord = field(init=False)
    problem: Problem = field(init=False)
    tracker: Tracker = field(init=False)
    trainer: Trainer = field(init=False)
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
        self.storage = self.queue.storage
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
            self.tracker.open_study(self.prepared.params(self.problem), tags)
        self._watch()
        self._tidy()
        recipe, population = self.prepared.space.preset, self.prepared.population
        torch.set_num_threads(paying_threads(self.problem, recipe, population, self.threads))
        claims = claims_of(self.queue, self.prepared, known, self.problem, self._check_cancelled)
        before = self.total - self.queue.unfinished(self.total)
        self.view = ProgressView(self.study, spec.study, before, self.on_progress)
        lock = StudyLock(self.storage, self.storage_url, self.study, BASELINE)
        with Heartbeat(self.queue) as heartbeat, without_experimental_warnings():
            works = (self.queue, claims, self.problem, self.tracker, self.view, heartbeat, lock, self.should_stop)
            self.trainer = Trainer(self.prepared, self.study, known, *works)
            try:
                self._run_trials()
                self._rerun()
                with rerun_lock(self.storage, self.storage_url, self.study, self._wait_for_the_end):
                    self._rerun(everything=True)
                    self._find_smallest()
                    self.tracker.close_all_running()  # no process works on a run any more
                    return self._conclude()
            except BaseException:
                self._abandon()
                raise

    def _run_trials(self) -> None:
        """Work until all trials of all workers have ended and the baseline is known.

        The re-runs begin once the leading recipes are settled, beside the last trials and the baseline.
        """
        begun = False
        while True:
            self._check_cancelled()
            self.trainer.refill()
            if not begun and self._may_rerun():
                begun = True
                self._rerun()
            elif self.trainer.active:
                self._show()
                self.trainer.step()
                self._watch(WATCH)
            elif not self._is_over():
                self._wait(self.queue.held(self.total))
                time.sleep(self.trainer.claims.pause)  # other workers hold the remaining trials, and may die
                self._watch(IDLE)
            else:
                return self._show()

    def _may_rerun(self) -> bool:
        """Whether the leading recipes are settled, though not all trials have ended or the baseline is unknown.

        With a seed, the re-runs would have other companions whenever a study goes on after its last trial, so that they train alone.
        """
        seeded, section = self.known.groups is not None, self.prepared.spec.study
        if not section.reruns or (self.trainer.active and (seeded or self._room() <= 0)):
            return False
        if self._trials_are_over():
            return bool(self.trainer.active) or not self._is_over()
        if seeded or self.problem.answered_rows is not None:  # rows may still be asked for the re-runs to train on
            return False
        return leaders_are_settled(self.study, section.leaders, self.queue.unfinished(self.total))

    def _room(self) -> int:
        """Number of students that may begin to train in this process."""
        return self.prepared.population - len(self.trainer.active)

    def _is_over(self) -> bool:
        """Whether no worker has a trial, and none will begin; the baseline must be known."""
        return StudyRecord.of(self.study).is_baseline_known and self._trials_are_over()

    def _trials_are_over(self) -> bool:
        return not (self.queue.owners() if self.known.is_late else self.queue.unfinished(self.total))

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
        """Run the parts of the re-runs that no other process runs; with ``everything``, wait for others and run what is left.

        With a seed the best trials come first, and the baseline after them if it is a leader. So the trials have the same companions
        whether the baseline is known by then or not.
        """
        section = self.prepared.spec.study
        if section.reruns:
            self.trainer.claims.catch_up()
            self._show()
            wait = self._wait_for_reruns if everything else None
            parts, seeded = self.known.groups or self.known.workers, self.known.groups is not None
            leading = top_candidates(self.study, section.leaders)
            untuned = [leader for leader in leading if leader.trial is None]
            for part in (top_trials(self.study, section.leaders), untuned) if seeded else (leading,):
                recipes = {leader: self._rerun_recipe(leader) for leader in part}
                self._rerunner().run_parts(recipes, section.reruns, self._room(), parts, wait)
            self.view.changed = True
            self._show()

    def _find_smallest(self) -> None:
        """Find the smallest student within a share of the best, if that is asked for."""
        self.view.pruning = self.view.changed = self.prepared.spec.study.within is not None
        find_smallest(self._rerunner(), self._rerun_recipe, self.prepared.population)
        self.view.pruning = False

    def _rerunner(self) -> Rerunner:
        stores, section = (self.storage, self.storage_url, self.study), self.prepared.spec.study
        beside = Beside(self.trainer.population, self.trainer.reached) if self.trainer.active else None
        return Rerunner(*stores, self.problem, self.tracker, section, lambda member=None: self._wait(None), beside)

    def _recipe(self, leader: Candidate) -> Recipe:
        return self.prepared.baseline() if leader.trial is None else recipe_of(self.study.trials[leader.trial])

    def _rerun_recipe(self, leader: Candidate) -> Recipe:
        """A recipe as it is run again, with all steps, and with a committee if there is one; the baseline stays untuned."""
        recipe, finished = self._recipe(leader), len(self.problem.committee(0))
        if leader.trial is None:
            return recipe
        return self.prepared.space.of_reruns(recipe, finished, self.problem.answered_rows or 0)

    def _check_cancelled(self, member: Member | None = None) -> None:
        """Raise ``Interrupted`` if the user wants to stop."""
        if self.should_stop():
            raise Interrupted(self.name)

    def _wait_for_reruns(self) -> None:
        self._wait("the re-runs of another worker")
        self._estimate_gain()  # beside them, as it takes none of their results

    def _estimate_gain(self) -> None:
        """Record once what more knowledge would buy, if that can be estimated."""
        if self.prepared.estimates_gain and StudyRecord.of(self.study).knowledge is None:
            self.study.set_user_attr(KNOWLEDGE, asdict(self.prepared.gain(self._check_cancelled)))

    def _wait_for_the_end(self) -> None:
        self._wait("another worker, which ends the study")

    def _wait(self, what: str | None) -> None:
        self._show(what)
        self._check_cancelled()

    def _abandon(self) -> None:
        """Put all trials that this process has claimed back in the queue, and end their MLflow runs."""
        try:
            try:
                self.trainer.stop()
            finally:
                self.queue.give_back()
                self.trainer.baseline_lock.release()
                self.trainer.active.clear()
            if self._tidy():
                self._close(RunStatus.KILLED)
            else:
                self.tracker.close()
        except DfkdError as error:  # do not hide the error that stopped the study
            LOG.warning("the study could not be closed: %s", error)

    def _conclude(self) -> StudyResult:
        known, section = StudyRecord.of(self.study), self.prepared.spec.study
        leading = leading_students(self.study, section.leaders, bool(section.reruns))
        promoted = next(iter(leading), None)
        self.view.read()
        summary, ended = known.summary, self.view.progress.ended
        # Otherwise another process of this session wrote the summary.
        if (summary.get("trials"), summary.get(STARTED)) != (ended, known.started):
            self._require_same_teacher()
            self._estimate_gain()
            stores = (self.tracking_uri, self.storage, self.study)
            summary = published(self.tracker, *stores, self.problem, leading, ended)
        self._close(RunStatus.FINISHED, leading, report := summary["report"])
        found = (self.view.progress.best, promoted, known.untuned.get(metric.RMSE), report)
        return StudyResult(
            self.name,
            *found,
            self.tracking_uri,
            self.storage_url,
            self.view.progress,
            summary.get("by_output", {}),
            rows_of(known.untuned),
        )

    def _require_same_teacher(self) -> None:
        """Before a certificate asks a teacher whose rows are counted, see that it still answers as it did."""
        if self.prepared.total is not None and self.problem.attack is not None and self.problem.attack[1]:
            asking = self.prepared.asking(self._check_cancelled)
            with self.prepared.total.asking_alone(self._check_cancelled):
                asking.require_same_answers()

    def _close(self, status: RunStatus, leading: Sequence[Promoted] = (), report: float | None = None) -> None:
        now = self.view.read()
        asked = (StudyRecord.of(self.study).knowledge or {}).get("teacher_rows", 0)
        counts = {"shared_teacher_rows": self.problem.frozen_rows + asked} | totals(self.study, now)
        metrics, tags = study_ending(counts, now.best, leading, report)
        self.tracker.close_study(status, metrics, tags)

    def _show(self, waiting: str | None = None) -> None:
        self.view.show(self.trainer.active.values(), waiting)
