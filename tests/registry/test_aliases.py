"""Aliases: every move is remembered, and a rollback takes back the last one that still counts."""

import itertools
import json

import pytest
from asked import fails
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient

from dfkd_tune.errors import NotFound, TrackingError
from dfkd_tune.registry import aliases
from dfkd_tune.registry.aliases import ELSEWHERE, REGISTER, ROLLBACK, Move, history, point, rollback
from dfkd_tune.registry.register import register

COUNT = itertools.count()
LIMIT = 5000
"""Characters of a tag's value in MLflow's tables; PostgreSQL refuses more."""


@pytest.fixture
def uri(store, finished) -> str:
    return store.tracking


@pytest.fixture
def model(uri) -> str:
    """A registered model with four versions, of its own."""
    name, client = f"aliased-{next(COUNT)}", MlflowClient(uri)
    client.create_registered_model(name)
    for _ in range(4):
        client.create_model_version(name, "file:///nowhere")
    return name


def now_at(uri: str, model: str) -> int:
    return int(MlflowClient(uri).get_model_version_by_alias(model, "champion").version)


def test_rolling_back_goes_further_back_each_time(uri, model):
    client = MlflowClient(uri)
    for version in (1, 2, 3):
        point(client, model, "champion", version)
    assert [rollback(uri, model).version for _ in range(2)] == [2, 1]
    assert now_at(uri, model) == 1
    with fails("alias 'champion'", "no earlier version", kind=NotFound):
        rollback(uri, model)
    point(client, model, "champion", 4)
    assert (rollback(uri, model).version, now_at(uri, model)) == (1, 1)


def test_who_when_and_from_which_are_remembered(uri, model, monkeypatch):
    client = MlflowClient(uri)
    monkeypatch.setattr(aliases, "_user", lambda: "ada")
    point(client, model, "champion", 1)
    point(client, model, "champion", 2)
    rollback(uri, model)
    moves = history(client, model, "champion")
    assert [(m.version, m.before, m.by, m.how) for m in moves] == [
        (1, None, "ada", REGISTER),
        (2, 1, "ada", REGISTER),
        (1, 2, "ada", ROLLBACK),
    ]
    assert moves[0].at <= moves[1].at <= moves[2].at
    assert json.loads(client.get_registered_model(model).tags["dfkd.alias.champion"])


def test_what_was_moved_in_mlflow_is_noticed(uri, model):
    client = MlflowClient(uri)
    point(client, model, "champion", 1)
    client.set_registered_model_alias(model, "champion", "3")
    assert rollback(uri, model).version == 1
    assert ELSEWHERE in [move.how for move in history(client, model, "champion")]


def test_an_alias_set_before_the_first_move_is_gone_back_to(uri, model):
    client = MlflowClient(uri)
    client.set_registered_model_alias(model, "champion", "2")
    point(client, model, "champion", 3)
    assert rollback(uri, model).version == 2


def test_a_deleted_version_is_passed_over(uri, model):
    client = MlflowClient(uri)
    for version in (1, 2, 3):
        point(client, model, "champion", version)
    client.delete_model_version(model, "2")
    assert rollback(uri, model).version == 1


def test_a_deleted_alias_points_at_its_last_version_again(uri, model):
    client = MlflowClient(uri)
    for version in (1, 2):
        point(client, model, "champion", version)
    client.delete_registered_model_alias(model, "champion")
    done = rollback(uri, model)
    assert (done.version, done.before, now_at(uri, model)) == (2, None, 2)
    assert rollback(uri, model).version == 1


def test_nothing_is_gone_back_to_if_all_is_deleted(uri, model):
    client = MlflowClient(uri)
    for version in (1, 2, 1, 2):
        point(client, model, "champion", version)
    client.delete_model_version(model, "1")
    with fails("alias 'champion'", "points at version 2, and no earlier", kind=NotFound):
        rollback(uri, model)


@pytest.mark.parametrize("name", ["pump's", 'a "pump"', "[red] pump é", 'it\'s a "pump"'])
def test_a_model_may_have_any_name(uri, name):
    client = MlflowClient(uri)
    client.create_registered_model(name)
    for version in (1, 2):
        client.create_model_version(name, "file:///nowhere")
        point(client, name, "champion", version)
    assert rollback(uri, name).version == 1


@pytest.mark.parametrize("text", ["words", "[1]", '[{"x": 1}]', "7"])
def test_a_history_that_was_overwritten_is_told_before_any_work(uri, model, text):
    client = MlflowClient(uri)
    client.set_registered_model_alias(model, "champion", "2")
    client.set_registered_model_tag(model, "dfkd.alias.champion", text)
    words = (f"model '{model}', tag dfkd.alias.champion", "is no list of moves", "delete that tag")
    with fails(*words, kind=TrackingError):
        rollback(uri, model)
    before = len(client.search_model_versions(f"name = '{model}'"))
    with fails(*words, kind=TrackingError):
        register(uri, "finished", model)
    assert (now_at(uri, model), len(client.search_model_versions(f"name = '{model}'"))) == (2, before)


def test_a_damaged_store_is_told(tmp_path):
    file = tmp_path / "mlflow.db"
    file.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    with fails(str(file), "is damaged", "put a copy of it back", kind=TrackingError):
        rollback(f"sqlite:///{file}", "pump")


def test_registering_the_same_version_again_is_no_move(uri, model):
    client = MlflowClient(uri)
    for version in (1, 2, 2):
        point(client, model, "champion", version)
    assert len(history(client, model, "champion")) == 2
    assert rollback(uri, model).version == 1


def test_aliases_do_not_mix(uri, model):
    client = MlflowClient(uri)
    point(client, model, "champion", 1)
    point(client, model, "challenger", 2)
    point(client, model, "champion", 3)
    assert rollback(uri, model).version == 1
    with fails("alias 'challenger'", "no earlier version", kind=NotFound):
        rollback(uri, model, "challenger")


def test_the_history_fits_into_a_tag_of_any_database(uri, model, monkeypatch):
    client = MlflowClient(uri)
    monkeypatch.setattr(aliases, "_user", lambda: "a-user-of-a-company-with-a-long-name@example.com")
    for i in range(45):
        point(client, model, "champion", 1 + i % 4)
    assert len(client.get_registered_model(model).tags["dfkd.alias.champion"]) <= LIMIT
    assert rollback(uri, model).version == 4


def test_a_move_that_is_not_remembered_is_one_that_happened_elsewhere(uri, model, monkeypatch):
    """The alias moves first: what is cut short in between never leads to a version that the alias did not have."""
    client = MlflowClient(uri)
    point(client, model, "champion", 1)
    with monkeypatch.context() as patch:
        patch.setattr(client, "set_registered_model_tag", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            point(client, model, "champion", 2)
    assert now_at(uri, model) == 2
    assert rollback(uri, model).version == 1


def test_unknown_models_and_aliases_are_told(uri, model):
    with fails("model 'nothing'", "is not registered", model, kind=NotFound):
        rollback(uri, "nothing")
    with fails(f"model '{model}', alias 'champion'", "does not exist", kind=NotFound):
        rollback(uri, model)


@settings(deadline=None)
@given(st.lists(st.integers(1, 4) | st.none(), max_size=12))
def test_a_rollback_is_the_last_move_taken_back(steps):
    """Against a list: registering appends, a rollback (None) takes the last one away."""
    moves: list[Move] = []
    expected: list[int] = []
    for step in steps:
        current = moves[-1].version if moves else None
        if step is None:
            if len(expected) < 2:
                continue
            expected.pop()
            stack = aliases._stack(moves, current)
            assert stack == [*expected, current]
            moves.append(Move(stack[-2], current, None, "", ROLLBACK))
        elif step != current:
            expected.append(step)
            moves.append(Move(step, current, None, "", REGISTER))
    assert not moves or aliases._stack(moves, moves[-1].version) == expected
