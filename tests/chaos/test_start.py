"""Sixteen workers start at once on a store that nobody made."""

import re

import pytest
import yaml
from aftermath import assert_whole
from processes import command_line
from tiny_studies import Store

from dfkd_tune.search.locks import exclusive
from dfkd_tune.study.opening import open_queue
from dfkd_tune.study.prepare import prepare
from dfkd_tune.tracking.tracker import Tracker

pytestmark = pytest.mark.usefixtures("undrawn")

WORKERS = 16


def _make(spec, storage: str, tracking: str) -> None:
    """What a worker does before its first trial, but for the rows that it draws."""
    prepared = prepare(spec)
    _, queue = open_queue(prepared, storage, tracking)
    with exclusive(queue.storage, storage):
        tracker = Tracker(tracking, spec.name, storage, known=False)
        tracker.open_study({"seed": spec.study.seed}, prepared.tags())
    print("claimed", queue.claim(spec.study.trials).trial.number)
    tracker.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("count", [4, pytest.param(WORKERS, marks=pytest.mark.slow)])
def test_a_fresh_store_is_made_once(request, start, tiny, tmp_path, kind, count):
    """Nobody made the study's store, nor MLflow's; each worker claims another trial of one study with one run."""
    store = Store(tmp_path)
    (tmp_path / "mlruns").mkdir()
    url = store.storage if kind == "sqlite" else request.getfixturevalue("postgresql")
    spec = tiny("fresh-start", trials=count).spec
    workers = [start(_make, spec, url, store.tracking) for _ in range(count)]
    assert [worker.wait(600) for worker in workers] == [0] * count, [worker.said for worker in workers]
    claimed = sorted(int(word) for worker in workers for word in re.findall(r"claimed (\d+)", worker.said))
    assert claimed == list(range(count))
    assert len(store.runs("fresh-start", "study")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_sixteen_at_once(request, start, tree, tmp_path, kind):
    store = Store(tmp_path)
    (tmp_path / "mlruns").mkdir()
    url = store.storage if kind == "sqlite" else request.getfixturevalue("postgresql")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("fresh-start", trials=40, population=1, reruns=1)))
    workers = [start(command_line, tmp_path, "study", "study.yaml", "--storage", url) for _ in range(WORKERS)]
    statuses = [worker.wait(900) for worker in workers]
    assert statuses == [0] * WORKERS, [worker.said for worker in workers]
    counts = assert_whole(url, store.tracking, "fresh-start", 40)
    assert counts["requeued"] == counts["failed"] == 0
    assert len(store.runs("fresh-start", "study")) == len(store.runs("fresh-start", "baseline")) == 1
