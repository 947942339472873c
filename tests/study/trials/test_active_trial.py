"""A running trial is shown by its own steps and its last point."""

from dfkd_tune.study.trials.active_trial import ActiveTrial
from dfkd_tune.testing.problems import make_problem, recipe, run
from dfkd_tune.training.member import Member


def test_a_trial_is_shown_by_its_steps_and_its_last_point():
    active = ActiveTrial("trial-0003", None, Member("trial-0003", recipe(), 0))
    before = active.shown()
    assert (before.key, before.step, before.steps, before.rmse, before.unit) == ("trial-0003", 0, 30, None, "step")
    run(make_problem(), active.member)
    assert (active.shown().step, active.shown().rmse) == (30, active.member.curve[-1][1])
