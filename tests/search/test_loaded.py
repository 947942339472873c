"""Recorded studies are read: how they ran, and their trials as plain values."""

import json

import optuna
import pytest
from asked import fails
from made_trials import trial
from optuna.trial import TrialState

from dfkd_tune.errors import NotFound
from dfkd_tune.recipes.presets import PAPER
from dfkd_tune.search.attributes import POPULATION
from dfkd_tune.search.foreign import AGREED
from dfkd_tune.search.loaded import live_study, load_study, plain_trial, recorded_parallelism
from dfkd_tune.search.storage import open_storage
from dfkd_tune.study.session import run_study

pytestmark = pytest.mark.usefixtures("undrawn")


def test_population_and_progress_are_found_on_record(store, tiny):
    assert recorded_parallelism(store.storage, "grouped", 3) == (None, None, 3)
    run_study(tiny("grouped", trials=2, population=None), store.storage, store.tracking)
    assert recorded_parallelism(store.storage, "grouped", 3) == (2, None, 1)
    run_study(tiny("grouped", trials=3, population=None), store.storage, store.tracking)
    assert load_study(store.storage, "grouped").user_attrs[POPULATION] == 2


def test_a_study_that_is_not_there_is_told_with_those_that_are(store, finished, tmp_path):
    for load in (load_study, live_study):
        with fails("study 'pump'", "does not exist here; known: ", "finished", kind=NotFound):
            load(store.storage, "pump")
        with fails("study 'pump'", f"there is no {tmp_path}/optuna.db", kind=NotFound):
            load(f"sqlite:///{tmp_path}/optuna.db", "pump")
    assert list(tmp_path.iterdir()) == []


def test_a_study_is_read_at_once_or_whenever_it_is_asked(tmp_path):
    url = f"sqlite:///{tmp_path}/optuna.db"
    own = optuna.create_study(study_name="pump", storage=open_storage(url))
    for name, value in {"identity": dict.fromkeys(AGREED, 0), "pool": 500}.items():
        own.set_user_attr(name, value)
    read, live = load_study(url, "pump"), live_study(url, "pump")
    own.add_trial(trial(0.5))
    assert [len(each.get_trials()) for each in (read, live, load_study(url, "pump"))] == [0, 1, 1]
    live.set_user_attr("tier", "T0")
    assert own.user_attrs["tier"] == "T0"


def test_a_trial_is_told_in_plain_values():
    """Its recipe as a tree, and nothing of the machine that it ran on."""
    complete, pruned = trial(0.5, worker="host/1/0.00"), trial(0.0, state=TrialState.PRUNED, reason="among the worst")
    told = [plain_trial(each) for each in (complete, pruned)]
    assert json.loads(json.dumps(told)) == told
    assert told[0]["attributes"]["recipe"] == PAPER.tree() and "worker" not in told[0]["attributes"]
    assert [(each["state"], each["value"], each["values"]) for each in told] == [
        ("COMPLETE", 0.5, [0.5]),
        ("PRUNED", None, None),
    ]
