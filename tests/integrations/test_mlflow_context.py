"""Runs that are started within a study bear its tags, and no others."""

from importlib.metadata import entry_points, version

import mlflow
import pytest

from dfkd_tune.integrations.mlflow_context import StudyContext
from dfkd_tune.study.session import run_study
from dfkd_tune.tracking.context import within

pytestmark = pytest.mark.usefixtures("undrawn")


def test_only_runs_within_a_study_are_tagged(store, tiny):
    provider = StudyContext()
    assert not provider.in_context()
    with within(study="pump", trial=3):
        assert provider.in_context()
        assert provider.tags() == {"dfkd.version": version("dfkd-tune"), "dfkd.study": "pump", "dfkd.trial": "3"}
        with within(study="inner"):
            assert provider.tags()["dfkd.study"] == "inner"
        assert provider.tags()["dfkd.study"] == "pump"
    assert not provider.in_context()

    seen = []
    run_study(
        tiny("contextual", trials=1, search={}, reruns=0),
        store.storage,
        store.tracking,
        on_progress=lambda progress: seen.append(provider.in_context() and provider.tags()["dfkd.study"]),
    )
    assert set(seen) == {"contextual"} and not provider.in_context()


def test_mlflow_finds_the_provider():
    (found,) = (point for point in entry_points(group="mlflow.run_context_provider") if point.name == "dfkd-tune")
    assert found.load() is StudyContext
    assert mlflow.tracking.context.registry.resolve_tags().keys().isdisjoint({"dfkd.version", "dfkd.study"})
    with within(study="pump"):
        assert mlflow.tracking.context.registry.resolve_tags()["dfkd.study"] == "pump"
