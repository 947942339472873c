"""Versions are found by the study that they were made from, whoever made them, and a study's new name is told on its own alone."""

import pytest
from mlflow import MlflowClient

from dfkd_tune.registry.versions import (
    find_model,
    made_from,
    made_of_runs,
    origin,
    rename_study,
    undescribed,
    versions_of,
)
from dfkd_tune.tracking.connection import pointed_at
from dfkd_tune.tracking.run_lookup import find_run


@pytest.fixture
def client(store, finished, tmp_path) -> MlflowClient:
    """A store of its own, with the finished study in it."""
    store.lend_runs(tmp_path)
    return MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")


def version(client: MlflowClient, model: str, source: str, run: str | None = None, **about):
    if not client.search_registered_models(f"name = '{model}'"):
        client.create_registered_model(model)
    with pointed_at(client.tracking_uri):
        return client.create_model_version(model, source, run, **about)


def test_a_version_is_found_by_its_tags_or_by_its_model(client):
    run = find_run(client.tracking_uri, "finished")
    logged = find_model(client, run)
    before = {(each.name, each.version) for each in versions_of(client, "finished")}
    tagged = version(client, "tagged", "somewhere", tags={"dfkd.study": "finished", "dfkd.rmse": "0.5"})
    by_hand = version(client, "pressed", f"models:/{logged.model_id}", run.info.run_id)
    version(client, "of another", "somewhere", tags={"dfkd.study": "finished-2"})
    found = {(each.name, each.version) for each in versions_of(client, "finished")} - before
    assert found == {(each.name, each.version) for each in (tagged, by_hand)}
    assert [each.name for each in undescribed(client, "finished")] == ["pressed"]
    assert {"tagged version 1", "pressed version 1"} <= {*made_from(client.tracking_uri, "finished")}
    assert made_from(client.tracking_uri, "finished-2") == ["of another version 1"]


def test_versions_of_runs_are_in_the_order_of_their_numbers(client):
    run = find_run(client.tracking_uri, "finished").info.run_id
    for _ in range(11):
        version(client, "many", "somewhere", run)
    found = [int(each.version) for each in made_of_runs(client, [run, run]) if each.name == "many"]
    assert found == [*range(1, 12)] and made_of_runs(client, []) == []


def test_a_new_name_is_told_on_versions_of_that_study_alone(client):
    """Names that begin alike, and one that a description holds for another reason."""
    place = "#/experiments/1/runs/" + "a" * 32
    texts = [
        f"Student of {origin(name, where)}, of pump_1 rows" for name in ("pump_1", "pump_12") for where in (place, None)
    ]
    for number, text in enumerate(texts):
        made = version(client, "renamed", "somewhere", tags={"dfkd.study": ("pump_1", "pump_12")[number // 2]})
        client.update_model_version("renamed", made.version, text)
    rename_study(client.tracking_uri, "pump_1", "valve")
    found = [client.get_model_version("renamed", str(number)) for number in range(1, 5)]
    assert [each.tags["dfkd.study"] for each in found] == ["valve"] * 2 + ["pump_12"] * 2
    assert [each.description for each in found[2:]] == texts[2:]
    assert [each.description for each in found[:2]] == [
        f"Student of {origin('valve', where)}, of pump_1 rows" for where in (place, None)
    ]
