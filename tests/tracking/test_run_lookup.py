"""A student's run is found by its study, by its trial or by its name; what is not there is told with what is."""

import pytest
from asked import fails
from mlflow import MlflowClient

from dfkd_tune.errors import NotFound
from dfkd_tune.tracking.run_lookup import fetch, find_run, parent_run, require_study, trial_of


def test_by_default_it_is_the_promoted_student(store, finished):
    run = find_run(store.tracking, "finished")
    assert (run.info.run_name, trial_of(run)) == (finished.promoted.run, finished.promoted.trial)
    for number in range(6):
        found = find_run(store.tracking, "finished", trial=number)
        assert (found.info.run_name, trial_of(found)) == (f"trial-{number:04d}", number)
    baseline = find_run(store.tracking, "finished", name="baseline")
    assert baseline.data.tags["dfkd.kind"] == "baseline" and trial_of(baseline) is None


def test_what_is_not_there_is_told(store, finished):
    for name, given, words in (
        ("nowhere", {}, ["is unknown to MLflow at", "known: "]),
        ("finished", {"trial": 99}, ["has no complete trial 99", "dfkd-tune show finished"]),
        ("finished", {"name": "trial-9999"}, ["has no complete trial"]),
    ):
        with fails(f"study {name!r}", *words, kind=NotFound):
            find_run(store.tracking, name, **given)
    run = find_run(store.tracking, "finished").info.run_id
    with fails(f"run {run}", "holds no nothing", kind=NotFound), fetch(store.tracking, run, "nothing"):
        pass
    assert parent_run(store.tracking, "nowhere") is None


def test_a_look_without_mlflow_says_the_same(store, finished):
    client = MlflowClient(store.tracking)
    client.delete_experiment(client.create_experiment("looked-at-and-deleted"))
    for name, trial in (("nowhere", None), ("finished", 99), ("looked-at-and-deleted", None)):
        with pytest.raises(NotFound) as looked:
            require_study(store.tracking, name, trial)
        with pytest.raises(NotFound) as asked:
            find_run(store.tracking, name, trial)
        assert str(looked.value) == str(asked.value)
    for trial in (None, finished.promoted.trial):
        require_study(store.tracking, "finished", trial)


def test_before_a_study_has_ended_it_is_the_best_trial(store):
    client = MlflowClient(store.tracking)
    experiment = client.create_experiment("looked-up")
    about = {"dfkd.kind": "study", "dfkd.objective": "nrmse", "dfkd.promoted": "trial-0000"}
    client.create_run(experiment, tags=about, run_name="looked-up")
    with fails("study 'looked-up'", "has no complete trial", kind=NotFound):
        find_run(store.tracking, "looked-up")
    for number, value in enumerate((0.5, 0.25, 0.125)):
        name = f"trial-{number:04d}"
        run = client.create_run(experiment, None, {"dfkd.kind": "trial", "dfkd.run": name}, name).info.run_id
        client.log_metric(run, "nrmse", value)
        client.log_metric(run, "robust", -value)
        client.log_metric(run, "parameters", 10 - number)
        if number < 2:  # the third still runs
            client.set_terminated(run)
    assert find_run(store.tracking, "looked-up").info.run_name == "trial-0001"
    assert find_run(store.tracking, "looked-up", within=10.0).info.run_name == "trial-0001"


def test_files_are_a_copy(store, finished):
    run = find_run(store.tracking, "finished").info.run_id
    with fetch(store.tracking, run) as folder:
        held = {path.name for path in folder.iterdir()}
        for path in folder.iterdir():
            path.unlink()
    assert "student.safetensors" in held and not folder.exists()
    with fetch(store.tracking, run) as folder:
        assert {path.name for path in folder.iterdir()} == held
