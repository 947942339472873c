"""Re-run the best recipes of a study on new seeds before one is promoted, because a good trial may be due to seed noise.

The processes of a study share the re-runs, in parts that do not depend on which process is faster.

The untuned baseline is re-run too if it is among the best recipes. A search that does not beat it must not replace it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna

from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.search.attributes import PARTS, RERUNS, StudyRecord
from dfkd_tune.search.locks import StudyLock, as_many_as_are_free, exclusive, part_locks
from dfkd_tune.search.ranking import Candidate, Score, rerun_names
from dfkd_tune.search.storage import PatientStorage
from dfkd_tune.search.study_file import StudySection
from dfkd_tune.study.ending import Ending, ending, stopped
from dfkd_tune.tracking import params as param
from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.tags import RunKind
from dfkd_tune.tracking.tracker import Tracker
from dfkd_tune.training import metrics as metric
from dfkd_tune.training.distill import Beside, distill_all
from dfkd_tune.training.member import Member
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils.seeding import derive


@dataclass(frozen=True)
class Rerunner:
    """Runs the best recipes again, and records the re-runs beside the trials.

    Args:
        storage, url: Optuna's storage and its URL.
        study, problem, tracker: Optuna study, problem and MLflow tracker of the study.
        section: the section ``study`` of the study file.
        check_cancelled: called at every rung; raises ``Interrupted`` if the user wants to stop.
        beside: members that still train in this process, to train with.
    """

    storage: PatientStorage
    url: str
    study: optuna.Study
    problem: Problem
    tracker: Tracker
    section: StudySection
    check_cancelled: Callable[..., None]
    beside: Beside | None = None

    def run_parts(
        self,
        recipes: Mapping[Candidate, Recipe],
        times: int,
        population: int,
        parts: int,
        wait: Callable[[], None] | None = None,
    ) -> None:
        """Run every part of the re-runs that no other process runs. Other arguments and errors are those of ``run``.

        Args:
            parts: number of parts, unless another process is at parts of another number.
            wait: called while another process runs a part, after which what is left of it is run; None to leave such parts.
        """
        agreed, part = self._agree(parts), 0
        while part < agreed:
            lock = StudyLock(self.storage, self.url, self.study, part)
            if wait is not None:
                lock.wait(wait)
            elif not lock.acquire():
                part += 1
                continue
            try:
                if (now := StudyRecord.of(self.study).parts) == agreed:
                    self.run(recipes, times, population, part, agreed)
                    part += 1
                else:  # nobody can change it while this lock is held
                    agreed, part = now or agreed, 0
            finally:
                lock.release()

    def _agree(self, parts: int) -> int:
        """Number of parts of all processes. A process that comes first may change it, as none runs a part of the old ones."""
        with (
            exclusive(self.storage, self.url),
            as_many_as_are_free(self.storage, part_locks(self.storage, self.url, self.study)) as nobody_runs,
        ):
            if nobody_runs:
                self.study.set_user_attr(PARTS, parts)
                return parts
        return StudyRecord.of(self.study).parts or parts

    def run(
        self, recipes: Mapping[Candidate, Recipe], times: int, population: int, part: int = 0, parts: int = 1
    ) -> None:
        """Run one part of the re-runs, until ``times`` re-runs of each recipe are recorded or belong to other parts.

        Args:
            recipes: candidate -> recipe.
            times: number of re-runs of each recipe.
            population: number of re-runs that train at once.
            part, parts: which part of how many; one process runs a part, so that its members have the same companions.

        Raises:
            Interrupted: if the user stopped the study; an unfinished re-run leaves only a KILLED run in MLflow.
        """
        record = StudyRecord.of(self.study)
        done = record.reruns
        own = rerun_names(recipes, times, done, record.answered, record.committee)[part::parts]
        missing = [(leader, name) for leader, name in own if name not in done.get(leader.key, {})]
        for first in range(0, len(missing), population):
            self.check_cancelled()
            self._run([(leader, name, recipes[leader]) for leader, name in missing[first : first + population]])

    def _run(self, missing: Sequence[tuple[Candidate, str, Recipe]]) -> None:
        members = [Member(name, recipe, derive(self.section.seed, name)) for _, name, recipe in missing]
        leaders = {name: leader for leader, name, _ in missing}
        recipes = {name: recipe for _, name, recipe in missing}
        trials = {name: leader.trial for name, leader in leaders.items()}
        for name, ended in self.distilled(members, trials, RunKind.RERUN):
            found = (ended.values[0], ended.metrics[metric.RMSE]) if ended.values else (math.inf, math.inf)
            score = Score(*found, self.problem.answered_rows, recipes[name].assistant.committee).tree()
            with exclusive(self.storage, self.url):
                known, key = dict(StudyRecord.of(self.study).reruns), leaders[name].key
                known[key] = {**known.get(key, {}), name: score}
                self.study.set_user_attr(RERUNS, known)

    def distilled(
        self,
        members: Sequence[Member],
        trials: Mapping[str, int | None],
        kind: RunKind,
        about: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Iterator[tuple[str, Ending]]:
        """Distill members whose keys are the names of their MLflow runs; gives each name with its ending, once MLflow has it.

        Args:
            members: new members.
            trials: name -> number of the trial that the recipe is from; None for the baseline.
            kind: kind of the runs.
            about: name -> further entries for the student's ``result.json``.

        Raises:
            Interrupted: if the user stopped the study; the unfinished runs are then KILLED.
        """
        left = {str(member.key): member for member in members}
        for name, member in left.items():
            params = member.recipe.leaves() | {param.SEED: member.seed}
            params |= {} if trials[name] is None else {param.TRIAL: trials[name]}
            self.tracker.open_run(name, kind, params, {tag.TIER: self.problem.inputs.tier}, again=True)
        try:
            outcomes = distill_all(self.problem, members, self.check_cancelled, self.beside)
            for name, outcome in zip(list(left), outcomes, strict=True):
                facts = {"study": self.study.study_name, "trial": trials[name], "run": name} | dict(
                    (about or {}).get(name, {})
                )
                ended = ending(self.problem, outcome, self.section.objective, runtime=self.section.runtime, about=facts)
                del left[name]
                ended.close(self.tracker, name)
                yield name, ended
        except BaseException:
            for name, member in left.items():
                stopped(member.curve).close(self.tracker, name)
            raise
