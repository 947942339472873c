"""Sixteen workers start at once on a store that nobody made."""

import pytest
import yaml
from aftermath import assert_whole
from conftest import Store, command_line

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_sixteen_at_once(request, start, tree, tmp_path, kind):
    store = Store(tmp_path)
    url = store.storage if kind == "sqlite" else request.getfixturevalue("postgresql")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("fresh", trials=40, population=1)))
    workers = [start(command_line, tmp_path, "study", "study.yaml", "--storage", url) for _ in range(16)]
    statuses = [worker.wait(900) for worker in workers]
    assert statuses == [0] * 16, [worker.said for worker in workers]
    counts = assert_whole(url, store.tracking, "fresh", 40)
    assert counts["requeued"] == counts["failed"] == 0
    assert len(store.runs("fresh", "study")) == len(store.runs("fresh", "baseline")) == 1
