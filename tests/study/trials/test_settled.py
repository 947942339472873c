"""Whether the leading recipes of a study are settled, from what its trials reported."""

import optuna
import pytest
from made_trials import trial
from optuna.trial import TrialState

from dfkd_tune.search.optuna_kinds import WARMUP
from dfkd_tune.study.trials.settled import leaders_are_settled


def complete(objective: float, reported: dict[int, float]):
    made = trial(objective)
    made.intermediate_values = reported
    return made


def study_of(reported: float, rung: int = WARMUP, leaders: int = 2) -> optuna.Study:
    """Two complete trials, which reported .2 and .3 at every rung, and a running one that has reported one value."""
    study = optuna.create_study()
    curves = {0.2: 1.0, 0.3: 2.0}
    for value, objective in [*curves.items()][:leaders]:
        study.add_trial(complete(objective, dict.fromkeys(range(1, WARMUP + 5), value)))
    running = study.ask()
    running.report(reported, rung)
    return study


@pytest.mark.parametrize(("reported", "settled"), [(0.31, True), (0.29, False), (0.1, False), (float("nan"), False)])
def test_a_trial_behind_all_leaders_does_not_keep_their_reruns_waiting(reported, settled):
    assert leaders_are_settled(study_of(reported), 2, 1) is settled


def test_a_trial_at_a_first_rung_may_still_lead():
    assert not leaders_are_settled(study_of(9.0, WARMUP - 1), 2, 1)
    assert not leaders_are_settled(study_of(9.0, WARMUP + 100), 2, 1)  # no leader was ever there


def test_a_trial_that_has_not_begun_may_lead():
    study = study_of(9.0)
    assert leaders_are_settled(study, 2, 1)
    assert not leaders_are_settled(study, 2, 2)
    study.enqueue_trial({})
    assert not leaders_are_settled(study, 2, 2)
    silent = optuna.create_study()
    silent.add_trial(complete(1.0, {WARMUP: 0.2}))
    silent.ask()  # has reported nothing
    assert not leaders_are_settled(silent, 1, 1)


def test_too_few_leaders_are_not_settled():
    assert not leaders_are_settled(study_of(9.0, leaders=1), 2, 1)
    assert not leaders_are_settled(study_of(9.0, leaders=0), 1, 1)


def test_without_a_trial_left_all_is_settled():
    study = study_of(0.1)
    study.tell(2, state=TrialState.PRUNED)
    assert leaders_are_settled(study, 2, 0)
