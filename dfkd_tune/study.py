"""The whole chain: spec, space, ask, population, report, prune, tell, record."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import optuna
from optuna.trial import TrialState

from . import registry, tracking
from .agreement import agree
from .distillation import Outcome, conclude
from .errors import Interrupted, StorageError
from .member import Member
from .places import absolute, without_credentials
from .population import Population
from .prepared import Prepared
from .progress import Progress, StudyResult
from .promotion import RECORD, Promoted, Rerunner, choose, leaders, run_name
from .recipe import Recipe
from .recorded import recipe_of
from .searching import open_study, smoothed, without_experimental_warnings
from .seeds import derive
from .shipping import student_files
from .storage import Heartbeat, alone, claim, exclusive, give_back, make_slots, open_storage, requeue_dead
from .stress import add_stress

BASELINE = "baseline"


def run_study(
    prepared: Prepared,
    storage_url: str,
    tracking_uri: str,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> StudyResult:
    """Run a study to its total of trials, or take up where an earlier session stopped.

    Raises:
        StudyMismatch: a study of that name has another teacher, space or objective.
        StorageError, TrackingError: before any trial, or when records could not be written.
        Interrupted: when ``should_stop`` said so; running trials went back to their slots.
    """
    return _Session(prepared, storage_url, tracking_uri, on_progress, should_stop).run()


@dataclass
class _Flight:
    """A trial in flight."""

    trial: optuna.Trial | None
    member: Member
    seconds: float = 0.0
    rungs: int = 0


@dataclass
class _Session:
    """One process working on a study."""

    prepared: Prepared
    storage_url: str
    tracking_uri: str
    on_progress: Callable[[Progress], None]
    should_stop: Callable[[], bool]
    flights: dict[str, _Flight] = field(default_factory=dict)

    def run(self) -> StudyResult:
        spec = self.prepared.spec
        self.name, self.total = spec.name, spec.study.trials
        if absolute(self.storage_url) == absolute(self.tracking_uri):
            shown = without_credentials(self.storage_url)
            raise StorageError(shown, "cannot be Optuna's and MLflow's database at once", remedy="give each its own")
        tracking.preflight(self.tracking_uri)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.storage = open_storage(self.storage_url)
        with without_experimental_warnings(), exclusive(self.storage, self.storage_url):
            self.study = open_study(self.storage, self.name, spec.study.seed)
            agree(self.study, self.prepared)
            requeue_dead(self.study, self.storage)
            make_slots(self.study, self.storage, self.total, self.prepared.space.leads())
        self.problem = self.prepared.problem(self.study.user_attrs["pool"])
        add_stress(self.problem, self.prepared.baseline(), self._heed)
        with exclusive(self.storage, self.storage_url):  # two sessions would make two parents
            self.tracker = tracking.Tracker(self.tracking_uri, self.name)
            self.parent = self.tracker.open_study(self.prepared.params(len(self.problem.pool)), self.prepared.tags())
        self.population = Population(self.problem)
        self.progress = Progress(self.total, baseline=self.study.user_attrs.get("baseline"))
        self.begun, self.finished_before = time.perf_counter(), len(self._finished())
        with Heartbeat(self.storage) as self.heartbeat, without_experimental_warnings():
            try:
                self._fly()
                self._rerun()
            except BaseException:
                self._abandon()
                self._close("KILLED")
                raise
        if self.flights or (self.should_stop() and self._left(TrialState.WAITING)):
            self._abandon()
            self._close("KILLED")
            raise Interrupted(self.name)
        return self._conclude()

    def _fly(self) -> None:
        if self.progress.baseline is None:
            self._admit(None, BASELINE, self.prepared.baseline(), derive(self.prepared.spec.study.seed, BASELINE))
        self._show()
        while True:
            self._refill()
            if not self.flights or self.should_stop():
                return
            start = time.perf_counter()
            due = self.population.advance()
            took = (time.perf_counter() - start) / len(self.flights)
            for flight in self.flights.values():
                flight.seconds += took
            self._judge([self.flights[member.key] for member in due])
            self._show()

    def _rerun(self) -> None:
        """Run the leaders again, once nobody works on the study's trials any more."""
        about = self.prepared.spec.study
        if about.reruns and not self._left(TrialState.RUNNING, TrialState.WAITING):
            with alone(self.storage, self.storage_url, self.study, self._heed):
                leading = {trial.number: recipe_of(trial) for trial in leaders(self.study, about.leaders)}
                Rerunner(self.study, self.problem, self.tracker, about.seed, self._objective, self._heed).run(
                    leading, about.reruns, about.population
                )

    def _heed(self, member: Member | None = None) -> None:
        """Stop where the user said so."""
        if self.should_stop():
            raise Interrupted(self.name)

    def _objective(self, outcome: Outcome) -> float:
        return outcome.objective(self.prepared.spec.study.objective)

    def _refill(self) -> None:
        while len(self.flights) < self.prepared.spec.study.population and not self.should_stop():
            trial = claim(self.study, self.storage, self.total)
            if trial is None:
                return
            recipe = self.prepared.space.suggest(trial)
            self._admit(
                trial, run_name(trial.number), recipe, derive(self.prepared.spec.study.seed, "trial", trial.number)
            )
            self.heartbeat.watch(trial)

    def _admit(self, trial: optuna.Trial | None, key: str, recipe: Recipe, seed: int) -> None:
        member = Member(key, recipe, seed)
        self.population.admit(member)
        self.flights[key] = _Flight(trial, member)
        params = recipe.leaves() | {"seed": seed} | ({"trial": trial.number} if trial else {})
        self.tracker.open_run(key, "trial" if trial else BASELINE, params, {"dfkd.tier": self.problem.inputs.tier})

    def _judge(self, due: list[_Flight]) -> None:
        """Report every member at a rung, then ask for each whether it goes on."""
        for flight in due:
            flight.rungs += 1
            if flight.trial is not None:
                flight.trial.report(math.nan if flight.member.failure else smoothed(flight.member.curve), flight.rungs)
        for flight in due:
            if self.should_stop():  # who has not landed goes back to its slot
                return
            if flight.member.finished:
                self._land(flight)
                self._show()
            elif flight.trial is not None and flight.trial.should_prune():
                self._land(flight, pruned=f"among the worst quarter at step {flight.member.clock}")

    def _land(self, flight: _Flight, pruned: str | None = None) -> None:
        """A member leaves: tell Optuna, record in MLflow."""
        member = self.population.release(flight.member.key)
        del self.flights[member.key]
        outcome = conclude(self.problem, member, flight.seconds, finish=pruned is None)
        reason = outcome.failure or pruned
        state = TrialState.PRUNED if reason else TrialState.COMPLETE
        objective = None if reason else self._objective(outcome)
        if flight.trial is not None:
            self.heartbeat.forget(flight.trial)
            attributes = {k: float(v) for k, v in outcome.metrics().items()} | {
                "recipe": json.dumps(outcome.recipe.tree())
            }
            for name, value in (attributes | ({"reason": reason} if reason else {})).items():
                flight.trial.set_user_attr(name, value)
        tags = {"dfkd.state": state.name} | ({"dfkd.reason": reason} if reason else {})
        files = None
        if not reason:
            about = {"study": self.name, "trial": flight.trial.number if flight.trial else None, "run": member.key}
            files = student_files(self.problem, outcome, about)
        shown = replace(outcome, selection=None, stress=None) if pruned else outcome  # nobody takes it for a result
        metrics = shown.metrics()
        self.tracker.close_run(member.key, "KILLED" if reason else "FINISHED", metrics, tags, outcome.curve, files)
        # Whenever this process dies, a trial that Optuna counts as done has its student in MLflow.
        self.tracker.flush()
        if flight.trial is not None:
            self.study.tell(flight.trial, objective, state, skip_if_finished=True)
        else:
            self.progress.baseline = objective if objective is not None else math.nan
            self.study.set_user_attr("baseline_rmse", math.nan if reason else outcome.selection.rmse)
            self.study.set_user_attr("baseline", self.progress.baseline)  # last: it says that both are known

    def _abandon(self) -> None:
        """Give the slots of everything in flight back, with true states on both sides."""
        for key, flight in self.flights.items():
            if flight.trial is not None:
                give_back(self.storage, flight.trial)
            self.tracker.close_run(key, "KILLED", {}, {"dfkd.state": "INTERRUPTED"}, flight.member.curve)

    def _conclude(self) -> StudyResult:
        known = self.study.user_attrs
        about = self.prepared.spec.study
        promoted = choose(leaders(self.study, about.leaders), known.get(RECORD, {}) if about.reruns else {})
        report = None
        if promoted is not None:
            self.tracker.settle()
            certificate = registry.certify_run(self.tracking_uri, self.name, promoted.run, self.problem)
            report = certificate["report"]["rmse"] if certificate else None
        self._close("FINISHED", promoted, report)
        baseline = known.get("baseline_rmse")
        return StudyResult(
            self.name, self._best(), promoted, baseline, report, self.tracking_uri, self.storage_url, self.progress
        )

    def _close(self, status: str, promoted: Promoted | None = None, report: float | None = None) -> None:
        self._count()
        p = self.progress
        metrics = {"trials": p.done + p.pruned + p.failed, "complete": p.done, "pruned": p.pruned, "failed": p.failed}
        tags: dict[str, Any] = {}
        if p.best is not None:
            metrics[f"best_{self.prepared.spec.study.objective}"] = p.best[0]
            metrics["best_trial"] = p.best[1]
            tags["dfkd.best_trial"] = p.best[1]
        if promoted is not None:
            tags["dfkd.promoted"] = promoted.run
            metrics["promoted_rmse"] = promoted.rmse
        known = self.study.user_attrs
        metrics |= {k: known[k] for k in ("baseline", "baseline_rmse") if k in known and math.isfinite(known[k])}
        if report is not None:
            metrics["report_rmse"] = report
        self.tracker.close_study(status, metrics, tags)

    def _left(self, *states: TrialState) -> bool:
        """Whether trials of the study are in one of these states."""
        return any(trial.number < self.total for trial in self.study.get_trials(deepcopy=False, states=states))

    def _finished(self) -> list[optuna.trial.FrozenTrial]:
        states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        return self.study.get_trials(deepcopy=False, states=states)

    def _best(self) -> tuple[float, int] | None:
        complete = [t for t in self._finished() if t.state == TrialState.COMPLETE]
        return min(((t.value, t.number) for t in complete), default=None)

    def _count(self) -> None:
        trials = self._finished()
        states = [trial.state for trial in trials]
        self.progress.done = states.count(TrialState.COMPLETE)
        self.progress.pruned = states.count(TrialState.PRUNED)
        self.progress.failed = states.count(TrialState.FAIL)
        self.progress.running = len(self.flights)
        self.progress.best = min(((t.value, t.number) for t in trials if t.state == TrialState.COMPLETE), default=None)

    def _show(self) -> None:
        """Tell how far this session is; a trial in flight counts by its share of the budget, finish included."""
        self._count()
        p = self.progress
        landed = p.done + p.pruned + p.failed - self.finished_before
        flying = sum(f.member.clock / f.member.recipe.steps for f in self.flights.values() if f.trial is not None)
        p.share = (landed + flying) / max(1, self.total - self.finished_before)
        p.seconds = time.perf_counter() - self.begun
        self.on_progress(p)
