"""A study that has a time: no worker begins a trial after it, what is there is concluded, and the rest is gone on with."""

import pytest

from dfkd_tune.search.attributes import PROMOTED, StudyRecord
from dfkd_tune.search.loaded import load_study
from dfkd_tune.study.opening import open_queue
from dfkd_tune.study.session import run_study
from dfkd_tune.study.workers import join

pytestmark = pytest.mark.usefixtures("undrawn")


def begun(store, name: str) -> int:
    return sum(trial.datetime_start is not None for trial in store.trials(name))


def record(store, name: str) -> StudyRecord:
    return StudyRecord.of(load_study(store.storage, name))


def test_running_trials_end_and_what_is_there_is_concluded(store, tiny):
    prepared = tiny("hurried", trials=2, reruns=1, leaders=1, timeout=1e-9)
    result = run_study(prepared, store.storage, store.tracking)
    assert (begun(store, "hurried"), result.promoted, result.progress.total) == (0, None, 2)
    (parent,) = store.runs("hurried", "study")
    assert parent.info.status == "FINISHED"
    assert record(store, "hurried").baseline is not None  # what every study is compared with

    result = run_study(tiny("hurried", trials=2, reruns=1, leaders=1), store.storage, store.tracking)
    assert begun(store, "hurried") == result.progress.ended == 2
    assert result.report is not None and result.promoted is not None


def test_every_worker_keeps_the_time_of_the_study_and_not_its_own(store, tiny):
    open_queue(tiny("timed", trials=3, timeout=1e-9), store.storage, store.tracking, workers=2)
    result = join("timed", store.storage, store.tracking)
    assert (begun(store, "timed"), result.progress.ended) == (0, 0)
    open_queue(tiny("timed", trials=3), store.storage, store.tracking, workers=2)
    assert join("timed", store.storage, store.tracking).progress.ended == 3


def test_workers_that_go_on_write_a_new_summary(store, tiny):
    """The summary at the deadline is not that of the whole study, though both are of as many trials in total."""
    options = {"trials": 3, "reruns": 0, "leaders": 1}
    run_study(tiny("resumed", timeout=1e-9, **options), store.storage, store.tracking)
    first = record(store, "resumed").summary
    open_queue(tiny("resumed", **options), store.storage, store.tracking, workers=2)
    result = join("resumed", store.storage, store.tracking)
    known = record(store, "resumed")
    assert (first["trials"], known.summary["trials"]) == (0, 3) and known.summary["at"] > first["at"]
    assert result.report == known.summary["report"] is not None
    assert load_study(store.storage, "resumed").user_attrs[PROMOTED]["run"] == result.promoted.run

    again = join("resumed", store.storage, store.tracking)  # a worker that finds nothing to do
    assert (record(store, "resumed").summary, again.report) == (known.summary, result.report)


def test_workers_certify_the_student_that_more_re_runs_promote(store, tiny):
    """As many trials have ended as before, so that their number does not tell that the summary is an old one."""
    options = {"trials": 2, "leaders": 2, "preset": "paper"}
    run_study(tiny("rerun-more", reruns=0, **options), store.storage, store.tracking)
    before = record(store, "rerun-more").summary
    open_queue(tiny("rerun-more", reruns=3, **options), store.storage, store.tracking, workers=2)
    result = join("rerun-more", store.storage, store.tracking)
    known = record(store, "rerun-more")
    assert known.summary["trials"] == before["trials"] == 2 and known.summary["at"] > before["at"]
    assert result.report == known.summary["report"]
    assert load_study(store.storage, "rerun-more").user_attrs[PROMOTED]["run"] == result.promoted.run
    (study,) = store.runs("rerun-more", "study")
    assert study.data.metrics["certificate/rmse"] == result.report
    assert study.data.tags["dfkd.promoted"] == result.promoted.run
