"""A plug-in that fails while a study takes up trials: whatever the process had claimed is back in the queue."""

from collections.abc import Callable
from typing import ClassVar

import pytest
from optuna.trial import TrialState
from whole_studies import FINISHED, run

from dfkd_tune.recipes.initializers import INITIALIZERS, Random
from dfkd_tune.utils.strategy import strategy

pytestmark = pytest.mark.usefixtures("undrawn")


@strategy
class Failing(Random):
    """Draws weights, and fails when ``fails`` says so."""

    fails: ClassVar[Callable[[], bool]] = staticmethod(lambda: False)

    def init(self, context, rng):
        if self.fails():
            raise RuntimeError("no weights")
        return super().init(context, rng)


def test_all_trials_that_were_claimed_are_given_back(store, tiny, monkeypatch):
    """The trials of a round are claimed together. The second of three cannot begin."""
    monkeypatch.setitem(INITIALIZERS._own, "failing", Failing)
    name, begun = "failing-plugin", []

    def second_of_three() -> bool:
        running = [trial for trial in store.trials(name) if trial.state == TrialState.RUNNING]
        begun.extend([None] * bool(running))
        return len(begun) == 3  # the baseline is the first to begin

    given = {"trials": 3, "population": 3, "seed": 1, "initializer": {"kind": "failing"}}
    with monkeypatch.context() as patch:
        patch.setattr(Failing, "fails", staticmethod(second_of_three))
        with pytest.raises(RuntimeError, match="no weights"):
            run(tiny(name, **given), store)
    trials = store.trials(name)
    assert [trial.state for trial in trials] == [TrialState.WAITING] * 3 and all(trial.params for trial in trials)
    assert not [each for each in store.runs(name) if each.info.status == "RUNNING"]
    run(tiny(name, **given), store)
    assert {trial.state for trial in store.trials(name)} <= {*FINISHED}
