"""``sync``: it says what was done in words, and what MLflow does not take."""

import json

from asked import assert_refused, files_of

from dfkd_tune.locations.paths import spool_folder
from dfkd_tune.tracking.outbox import Outbox, Record


def test_what_was_refused_is_counted_and_five_are_shown(dfkd, store, tmp_path):
    storage = f"sqlite:///{tmp_path}/optuna.db"
    segment = Outbox(spool_folder(storage, "spoiled-records"), storage).begin()
    segment.append(Record("study", name="spoiled-records", tags={"dfkd.kind": "study"}))
    for number in range(10, 17):
        (segment.folder / f"{number:08d}.json").write_text(json.dumps({"event": "nothing"}))
    segment.release()
    ended = dfkd("sync", "spoiled-records", "--storage", storage, *store.options[2:])
    assert ended.status == 0, ended.err
    assert ended.out.startswith("spoiled-records: 1 runs in MLflow; ") and "7 records refused" in ended.out
    lines = ended.err.splitlines()
    assert len(lines) == 5 and all(line.startswith("refused: ") and "is no record" in line for line in lines)
    again = dfkd("sync", "spoiled-records", "--storage", storage, *store.options[2:])
    assert again.out == "spoiled-records: 1 runs in MLflow; 7 records refused\n"


def test_a_study_that_is_nowhere_is_told(dfkd, store, finished, tmp_path):
    assert_refused(dfkd("sync", "pump"), "study 'pump'", "there is no", "optuna.db")
    assert_refused(dfkd("sync", "pump", *store.options), "study 'pump'", "does not exist here; known: ", "finished")
    assert files_of(tmp_path) == set()
