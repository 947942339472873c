"""How a process gets its trials: one by one as it is free, or in the rounds of a seeded study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import optuna

from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.search.attributes import StudyRecord
from dfkd_tune.search.optuna_kinds import sampler
from dfkd_tune.search.rounds.memory import RoundMemory
from dfkd_tune.search.rounds.queue import RoundQueue
from dfkd_tune.search.trial_queue import TrialQueue
from dfkd_tune.study.prepare import Prepared
from dfkd_tune.utils.seeding import derive


@dataclass(frozen=True)
class Claimed:
    """A trial that this process is to train.

    Args:
        trial, recipe: the Optuna trial and its recipe.
        again: whether another worker had begun it.
    """

    trial: optuna.Trial
    recipe: Recipe
    again: bool


@dataclass(frozen=True)
class Intake:
    """What a look for trials found.

    Args:
        trials: the trials to train; empty if there are none for now.
        baseline: whether the untuned baseline may train beside them.
    """

    trials: Sequence[Claimed] = ()
    baseline: bool = False


class Claims(Protocol):
    """Trials of a study for one process, and the pruner's verdict on them."""

    pause: float
    """Seconds between two looks while no trial is to be had."""

    def take(self, total: int, active: int, baseline: bool) -> Intake:
        """Claim trials below number ``total`` for a process that trains ``active`` ones, and perhaps the untuned baseline."""
        ...

    def catch_up(self) -> None:
        """Make known what students train on that begin after all trials: all rows that are answered by now, in a study with a total."""
        ...

    def report(self, values: Mapping[optuna.Trial, tuple[int, float]]) -> None:
        """Report the next intermediate value of trials, as ``(step, value)``."""
        ...

    def should_prune(self, trial: optuna.Trial) -> bool:
        """Whether the pruner stops a trial."""
        ...

    def notes(self, trial: optuna.Trial) -> Mapping[str, Any]:
        """System attributes that the pruner has given to a trial, if nobody else records them."""
        ...


@dataclass
class Steady:
    """Whenever a trial ends, the next one is sampled from what is known then. The population stays full.

    Args:
        queue, prepared: the trial queue and the study.
        workers: number of processes, each of which takes its share of the trials that are left.
    """

    queue: TrialQueue
    prepared: Prepared
    workers: int
    pause: float = 1.0

    def take(self, total: int, active: int, baseline: bool) -> Intake:
        room = self.prepared.population
        if self.workers > 1:
            room = min(room, math.ceil(self.queue.unfinished(total) / self.workers))
        if active >= room:
            return Intake(baseline=True)
        with self.queue.storage.cached_reads():  # otherwise the sampler reads all trials for each group of parameters
            claimed = self.queue.claim(total)
            if claimed is None:
                return Intake(baseline=True)
            recipe = self.prepared.space.suggest(claimed.trial)
        return Intake([Claimed(claimed.trial, recipe, claimed.again)], baseline=True)

    def catch_up(self) -> None:
        pass

    def report(self, values: Mapping[optuna.Trial, tuple[int, float]]) -> None:
        self.queue.report(values)

    def should_prune(self, trial: optuna.Trial) -> bool:
        return trial.should_prune()

    def notes(self, trial: optuna.Trial) -> Mapping[str, Any]:
        return {}


@dataclass
class Rounds:
    """A group of a round at a time, so that the same seed gives the same trials on any number of processes.

    Args:
        rounds: the rounds of the study.
        prepared: the study.
    """

    rounds: RoundQueue
    prepared: Prepared
    pause: float = 0.5
    memory: RoundMemory | None = field(default=None, repr=False)

    def take(self, total: int, active: int, baseline: bool) -> Intake:
        if active or baseline:  # a group has the same companions on any number of processes
            return Intake()
        group = self.rounds.claim(total)
        if group is None:
            return Intake()
        self.memory = group.memory
        suggest = self.prepared.space.suggest
        return Intake([Claimed(each.trial, suggest(each.trial), each.again) for each in group.claims], group.first)

    def catch_up(self) -> None:
        pass

    def report(self, values: Mapping[optuna.Trial, tuple[int, float]]) -> None:
        self.rounds.queue.report(values)
        for trial, (step, value) in values.items():
            self._memory.report(trial.number, step, value)

    def should_prune(self, trial: optuna.Trial) -> bool:
        return self._memory.should_prune(trial.number)

    def notes(self, trial: optuna.Trial) -> Mapping[str, Any]:
        return self._memory.notes_of(trial.number)

    @property
    def _memory(self) -> RoundMemory:
        assert self.memory is not None  # known since the first group
        return self.memory


def claims(queue: TrialQueue, prepared: Prepared, record: StudyRecord) -> Claims:
    """The way in which a recorded study hands out its trials."""
    if record.groups is None:
        return Steady(queue, prepared, record.workers)
    seed, choice = prepared.spec.study.seed, prepared.spec.sampler
    size = record.groups * prepared.population
    rounds = RoundQueue(
        queue,
        record.groups,
        size,
        lambda first: sampler(choice, derive(seed, "sampler", first)),
        prepared.space.suggest,
    )
    return Rounds(rounds, prepared)
