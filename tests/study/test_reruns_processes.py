"""Processes of a study share its re-runs: each of them runs once, whoever is faster."""

import time

import pytest
import yaml
from processes import Process, command_line
from rerun_studies import ABOUT, UNTUNED, assert_reruns_settled, names_of, wanted
from whole_studies import run

from dfkd_tune.errors import Interrupted
from dfkd_tune.search import locks
from dfkd_tune.search.attributes import BASELINE, StudyRecord
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.progress import Progress
from dfkd_tune.study.opening import open_queue
from dfkd_tune.study.session import run_study

pytestmark = pytest.mark.usefixtures("undrawn", "late_reruns")


def test_two_sessions_run_leaders_once(store, tree, tiny, start, tmp_path):
    """The second session finds all trials done while the first one is at its re-runs; nobody else waits for either."""
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("together", **ABOUT)))
    second: list[Process] = []
    seen: list[Progress] = []

    def join() -> bool:
        rerunning = [p for p in seen if p.done + p.pruned == 3 and p.reruns[0] < p.reruns[1]]
        if len(rerunning) > 1 and not second:
            second.append(start(command_line, tmp_path, "study", "study.yaml", *store.options))
            until = time.monotonic() + 120
            while "3/3 trials" not in second[0].said:
                assert second[0].alive() and time.monotonic() < until, second[0].said
                time.sleep(0.05)
            assert len(load_study(store.storage, "together").trials) == 3
            time.sleep(3 * locks.PAUSE)
            assert second[0].alive()
        return False

    first = run(tiny("together", **ABOUT), store, should_stop=join, on_progress=seen.append)
    assert second[0].wait() == 0, second[0].said
    assert_reruns_settled(store, "together")
    assert sorted(run.info.run_name for run in store.runs("together", "rerun")) == wanted(store, "together")
    assert f"Promoted: trial {first.promoted.trial}" in second[0].said


def test_processes_share_the_reruns(store, tree, tiny, start, tmp_path):
    """While one runs a part, another runs the other part, and neither runs a re-run twice."""
    about = ABOUT | {"seed": 5, "population": 2}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("shared", **about)))
    second: list[Process] = []

    seen: list[Progress] = []

    def until_the_other_part_is_done() -> bool:
        """Called while the first process is at its part, which it holds until the second has run the other one."""
        rerunning = [p for p in seen if p.done + p.pruned == 3 and p.reruns[0] < p.reruns[1]]
        if len(rerunning) > 1 and not second:
            second.append(start(command_line, tmp_path, "study", "study.yaml", *store.options))
            until = time.monotonic() + 120
            while len(names_of(store, "shared", "FINISHED")) < 2:
                assert second[0].alive() and time.monotonic() < until, second[0].said
                time.sleep(0.05)
        return False

    run(tiny("known", trials=1, reruns=0), store)  # an experiment to ask for, before there is one
    run(tiny("shared", **about), store, should_stop=until_the_other_part_is_done, on_progress=seen.append)
    assert second[0].wait() == 0, second[0].said
    assert_reruns_settled(store, "shared")
    assert sorted(run.info.run_name for run in store.runs("shared", "rerun")) == wanted(store, "shared")


def test_processes_of_other_numbers_of_workers_agree_on_the_parts(store, tiny):
    """A process that joins with more workers while a part is run takes another part of the same ones."""
    name = "other-workers"
    where = (tiny(name, **ABOUT), store.storage, store.tracking)
    joined: list[bool] = []
    seen: list[Progress] = []

    def join() -> None:
        open_queue(*where, workers=3)
        waiting: list[str | None] = []
        with pytest.raises(Interrupted):  # it waits for the part that this process holds
            run_study(
                *where,
                joining=True,
                on_progress=lambda progress: waiting.append(progress.waiting),
                should_stop=lambda: waiting[-1:] == ["the re-runs of another worker"],
            )

    def look() -> bool:
        rerunning = [p for p in seen if p.done + p.pruned == 3 and p.reruns[0] < p.reruns[1]]
        if not joined and len(rerunning) > 1:  # this process holds its first part
            joined.append(True)
            join()
            assert len(names_of(store, name)) == 2
        return False

    open_queue(*where, workers=2)
    run_study(*where, joining=True, should_stop=look, on_progress=seen.append)
    assert joined
    assert sorted(run.info.run_name for run in store.runs(name, "rerun")) == wanted(store, name)


@pytest.mark.parametrize("seed", [{}, {"seed": 7}], ids=["unseeded", "seeded"])
def test_reruns_begin_while_another_process_trains_the_baseline(store, tiny, seed):
    """This test has the baseline's lock, as another process would, until all re-runs of the best trials are recorded."""
    name = f"beside-the-baseline-{len(seed)}"
    prepared = tiny(name, **ABOUT, **seed)
    study, queue = open_queue(prepared, store.storage, store.tracking, workers=2)
    held = locks.StudyLock(queue.storage, store.storage, study, BASELINE)
    assert held.acquire()
    early: list[str] = []

    def look(progress: Progress) -> None:
        known = StudyRecord.of(load_study(store.storage, name))
        done = [run for runs in known.reruns.values() for run in runs]
        if len(done) == 4 and not early:
            assert known.baseline is None
            early.extend(done)
            held.release()

    begun = time.monotonic()
    run_study(
        prepared,
        store.storage,
        store.tracking,
        look,
        lambda: not early and time.monotonic() - begun > 120,
        joining=True,
    )
    assert_reruns_settled(store, name)
    assert set(early) <= set(names_of(store, name))
    queue.storage.engine.dispose()


def test_a_seed_gives_the_same_reruns_whether_the_baseline_is_known_before_or_after(store, tiny, tmp_path):
    """Also where the baseline is a leader, which then runs again after the trials."""
    found = []
    for known_before in (True, False):
        url, name = f"sqlite:///{tmp_path}/{known_before}.db", f"baseline-{known_before}"
        prepared = tiny(name, **UNTUNED, seed=3)
        study, queue = open_queue(prepared, url, store.tracking, workers=2)
        held = locks.StudyLock(queue.storage, url, study, BASELINE)
        if not known_before:
            assert held.acquire()

        def look(progress: Progress, url=url, name=name, held=held) -> None:
            if len(StudyRecord.of(load_study(url, name)).reruns) == 2:
                held.release()

        run_study(prepared, url, store.tracking, look, joining=True)
        found.append(StudyRecord.of(load_study(url, name)).reruns)
        queue.storage.engine.dispose()
    assert found[0] == found[1] and set(found[0]) == {"0", "1", BASELINE}
