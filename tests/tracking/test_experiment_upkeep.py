"""A study's experiment is retired or renamed, with all that bears its name, and nobody else's."""

import pytest
from asked import fails
from mlflow import MlflowClient

from dfkd_tune.errors import TrackingError
from dfkd_tune.tracking.experiment_upkeep import count_runs, exists, rename, retire


@pytest.fixture
def client(store) -> MlflowClient:
    return MlflowClient(store.tracking)


def experiment(client: MlflowClient, name: str) -> str:
    """An experiment with a parent run and two trials, and a run of the user's own."""
    made = client.create_experiment(name)
    for kind, run in (("study", name), ("trial", "trial-0000"), ("trial", name)):
        client.create_run(made, tags={"dfkd.kind": kind, "dfkd.study": name}, run_name=run)
    client.create_run(made, tags={"dfkd.kind": "trial", "dfkd.study": "another"}, run_name="copied")
    return made


def names(client: MlflowClient, number: str) -> set[tuple[str, str]]:
    return {(run.info.run_name, run.data.tags["dfkd.study"]) for run in client.search_runs([number])}


def test_a_name_changes_on_whatever_bears_it(client, store):
    made = experiment(client, "upkept")
    rename(store.tracking, "upkept", "upkept-2")
    rename(store.tracking, "upkept", "upkept-2")  # as after an interruption
    assert client.get_experiment(made).name == "upkept-2"
    told = {("upkept-2", "upkept-2"), ("trial-0000", "upkept-2"), ("upkept", "upkept-2"), ("copied", "another")}
    assert names(client, made) == told  # a trial's run is called as it likes
    assert (count_runs(store.tracking, "upkept"), count_runs(store.tracking, "upkept-2")) == (None, 4)


def test_a_retired_experiment_leaves_its_name_and_can_be_restored(client, store):
    made = experiment(client, "retired")
    name = retire(store.tracking, "retired")
    assert client.get_experiment(made).lifecycle_stage == "deleted"
    assert not exists(store.tracking, "retired") and exists(store.tracking, name)
    assert retire(store.tracking, "retired") is None is retire(store.tracking, name)
    client.restore_experiment(made)
    assert count_runs(store.tracking, name) == 4


@pytest.mark.parametrize("change", [retire, count_runs, lambda uri, name: rename(uri, name, "ours")])
def test_somebody_elses_experiment_is_left_alone(client, store, change, request):
    name = request.node.name
    made = client.create_experiment(name)
    client.create_run(made)
    with fails(f"study {name!r}", "whose runs dfkd-tune did not make", kind=TrackingError):
        change(store.tracking, name)
    assert client.get_experiment(made).name == name
