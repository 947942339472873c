"""Each final state of a trial has a status of its run."""

from dfkd_tune.tracking.states import State


def test_a_state_has_a_status():
    assert {state: state.status for state in State} == {
        "COMPLETE": "FINISHED",
        "PRUNED": "KILLED",
        "FAIL": "FAILED",
        "INTERRUPTED": "KILLED",
    }
