"""The earlier trials of a study and one round of new ones, in memory: what the sampler and the pruner of a round know.

A round is asked from the trials of earlier rounds, each of which has ended, and is pruned by comparison with them. So neither
depends on which trial of the round ends first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from dfkd_tune.compat import optuna as private


class RoundMemory:
    """A copy of a study, up to the first trial that a round does not know.

    Args:
        study: the recorded study.
        known: its trials by number, without a gap, from 0 on. Those that have not ended count as running.
        first: number from which trials count as running even if they have ended; None for no such number.
        sampler: the sampler that asks for new trials; None if none are asked.
    """

    def __init__(
        self,
        study: optuna.Study,
        known: Sequence[FrozenTrial],
        first: int | None = None,
        sampler: BaseSampler | None = None,
    ) -> None:
        ended = [trial.state.is_finished() and (first is None or trial.number < first) for trial in known]
        about = {"study_name": study.study_name, "directions": study.directions, "pruner": study.pruner}
        self._study = optuna.create_study(**about, sampler=sampler or RandomSampler())
        self._given = private.study_attributes(study)
        private.set_study_attributes(self._study, self._given)
        self._study.add_trials([_lent(t) if done else _running(t) for t, done in zip(known, ended, strict=True)])
        self._running: dict[int, optuna.Trial] = {}

    def ask(self, suggest: Callable[[optuna.Trial], object], fixed: Mapping[str, Any] | None = None) -> FrozenTrial:
        """Ask the sampler for the next trial, which knows those that were asked before.

        Args:
            suggest: draws all parameters of a trial.
            fixed: parameters that the sampler does not choose.
        """
        if fixed:
            self._study.enqueue_trial(dict(fixed))
        trial = self._study.ask()
        suggest(trial)
        return private.frozen(trial)

    @property
    def notes(self) -> dict[str, Any]:
        """System attributes of the study that its sampler has written since."""
        return {
            name: value
            for name, value in private.study_attributes(self._study).items()
            if name not in self._given or self._given[name] != value
        }

    def report(self, number: int, step: int, value: float) -> None:
        """Report an intermediate value of a running trial to the pruner."""
        if number not in self._running:
            self._running[number] = private.trial_of(self._study, number)
        self._running[number].report(value, step)

    def should_prune(self, number: int) -> bool:
        """Whether the pruner stops a trial that has reported a value."""
        return self._running[number].should_prune()

    def notes_of(self, number: int) -> dict[str, Any]:
        """System attributes that the pruner has given to a running trial."""
        return private.frozen(self._running[number]).system_attrs if number in self._running else {}


class _Lent(dict[Any, Any]):
    """Part of a trial that has ended, which nobody changes: Optuna's copy of the trial has the same keys and values, not copies of them."""

    def __deepcopy__(self, memo: object) -> dict[Any, Any]:
        return dict(self)


def _lent(trial: FrozenTrial) -> FrozenTrial:
    """The same trial; to copy it takes a quarter of the time, and each round copies all trials of the study."""
    return FrozenTrial(
        trial.number,
        trial.state,
        None,
        trial.datetime_start,
        trial.datetime_complete,
        _Lent(trial.params),
        _Lent(trial.distributions),
        _Lent(trial.user_attrs),
        _Lent(trial.system_attrs),
        _Lent(trial.intermediate_values),
        private.trial_id(trial),
        values=trial.values,
    )


def _running(trial: FrozenTrial) -> FrozenTrial:
    """The same trial as it starts."""
    return optuna.trial.create_trial(
        state=TrialState.RUNNING, params=trial.params, distributions=trial.distributions, user_attrs=trial.user_attrs
    )
