"""A snapshot answers as Optuna does, for anything that Optuna can write; what it cannot read is left to Optuna."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import optuna
import pytest
from any_trials import any_trial, told
from asked import fails, files_of
from optuna.trial import TrialState, create_trial

from dfkd_tune.errors import StorageError
from dfkd_tune.locations.paths import sqlite_file
from dfkd_tune.search.sampling import without_experimental_warnings
from dfkd_tune.search.sqlite.snapshot import Snapshot, snapshot
from dfkd_tune.search.storage import open_storage


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> str:
    """Studies of one and of two objectives, and one without a trial."""
    url, rng = f"sqlite:///{tmp_path_factory.mktemp('studies')}/optuna.db", np.random.default_rng(0)
    storage = open_storage(url)
    for name, directions in {"one": ["minimize"], "none": ["maximize"], "two": ["minimize", "maximize"]}.items():
        study = optuna.create_study(study_name=name, storage=storage, directions=directions)
        study.set_user_attr("about", {"name": name, "at": 1.5})
        with without_experimental_warnings():
            study.set_metric_names([f"{name} {i}" for i in range(len(directions))])
        study.add_trials([any_trial(rng, len(directions)) for _ in range(0 if name == "none" else 30)])
    return url


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/St_Johns"])
def test_it_answers_as_optuna_does(url, monkeypatch, zone):
    import time

    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        theirs, ours = open_storage(url), snapshot(sqlite_file(url))
        assert isinstance(ours, Snapshot)
        assert ours.get_all_studies() == theirs.get_all_studies()
        for name in optuna.get_all_study_names(theirs):
            one, other = (optuna.load_study(study_name=name, storage=each) for each in (ours, theirs))
            assert vars(one).keys() == vars(other).keys() and one.directions == other.directions
            assert (one.user_attrs, one.metric_names) == (other.user_attrs, other.metric_names)
            assert [told(trial) for trial in one.get_trials()] == [told(trial) for trial in other.get_trials()]
            complete = (TrialState.COMPLETE,)
            assert len(one.get_trials(states=complete)) == len(other.get_trials(states=complete))
            for trial in one.get_trials(deepcopy=False):
                assert told(theirs.get_trial(trial._trial_id)) == told(ours.get_trial(trial._trial_id))
    time.tzset()


def test_trials_are_those_of_the_named_study(url):
    named, every = snapshot(sqlite_file(url), "two"), snapshot(sqlite_file(url))
    study = named.get_study_id_from_name("two")
    assert named.get_all_studies() == every.get_all_studies()
    assert [*map(told, named.get_all_trials(study))] == [*map(told, every.get_all_trials(study))] != []
    with pytest.raises(KeyError):
        named.get_all_trials(named.get_study_id_from_name("one"))
    for ask in (named.get_study_id_from_name, named.get_trial, named.get_study_name_from_id):
        with pytest.raises(KeyError):
            ask("nothing")


def test_it_is_not_written(url):
    ours = snapshot(sqlite_file(url))
    before = files_of(Path(sqlite_file(url)).parent)
    study = optuna.load_study(study_name="one", storage=ours)
    for write in (
        study.ask,
        lambda: study.set_user_attr("x", 1),
        lambda: study.add_trial(create_trial(value=1.0)),
        lambda: optuna.create_study(storage=ours),
        lambda: optuna.delete_study(study_name="one", storage=ours),
    ):
        with fails("optuna.db", "cannot be written", kind=StorageError):
            write()
    assert files_of(Path(sqlite_file(url)).parent) == before


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE alembic_version SET version_num = 'v9'",
        "UPDATE trials SET state = 'RESTING'",
        "UPDATE trial_values SET value_type = 'FINITE', value = NULL",
        "UPDATE trial_params SET distribution_json = '{'",
        "UPDATE trial_user_attributes SET value_json = X'ff'",
        "DROP TABLE trial_heartbeats; DROP TABLE trial_params",
    ],
)
def test_what_optuna_has_not_written_is_left_to_optuna(url, tmp_path, change):
    file = tmp_path / "optuna.db"
    with closing(sqlite3.connect(sqlite_file(url))) as there, closing(sqlite3.connect(file)) as here:
        there.backup(here)
        here.executescript(change)
    assert snapshot(file) is None
    assert snapshot(tmp_path / "missing.db") is None
