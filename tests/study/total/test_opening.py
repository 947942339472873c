"""A total is opened before a teacher is asked, and can only be raised."""

import time
from pathlib import Path

import pytest
from asked import fails
from costly import asked, costly_tree, run
from shaped_teachers import Lstm, made, save_pt2

from dfkd_tune.errors import QueriesSpent, StorageError, StudyMismatch
from dfkd_tune.search.attributes import StudyRecord
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.total.division import Division
from dfkd_tune.study.total.opening import open_total
from dfkd_tune.teachers.metering.meter import Meter
from dfkd_tune.teachers.metering.parts import OPENING
from dfkd_tune.teachers.probe import Probe
from dfkd_tune.utils import waits

pytestmark = pytest.mark.usefixtures("undrawn")


def opened(folder, total: int, name: str = "opened", asked_before: int = 0):
    spec = parse_spec(costly_tree(name, folder, total), "costly")
    return open_total(spec, f"sqlite:///{folder}/optuna.db", Meter(asked=asked_before))


def test_a_teacher_is_probed_once_and_its_rows_are_found_again(tmp_path):
    first, probes = opened(tmp_path, 500), []

    def measure():
        probes.append(1)
        return Probe(3, 1, False, 1e3)

    found, settled = first.probed(measure)
    assert found == opened(tmp_path, 500).probed(measure)[0] == Probe(3, 1, False, 1e3)
    assert probes == [1]
    assert settled.division == opened(tmp_path, 500).division == Division.of(500, 0)
    assert opened(tmp_path, 500).rows.folder == first.rows.folder != opened(tmp_path, 500, "other").rows.folder


def test_what_was_asked_before_the_total_was_open_is_claimed(tmp_path):
    assert opened(tmp_path, 500, asked_before=7).ledger.claimed() == {"opening": 7}
    with pytest.raises(QueriesSpent):
        opened(tmp_path, 500, asked_before=494)


def test_a_total_is_divided_by_what_its_opening_took(tmp_path):
    first = opened(tmp_path, 500)

    def measure():
        first.ledger.claim(OPENING, 91)
        return Probe(3, 1, False, 1e3)

    _, settled = first.probed(measure)
    assert settled.division.opening == 91 and sum(settled.division.parts().values()) == 500
    assert opened(tmp_path, 900).division == settled.division.raised(900)


def test_a_process_that_waits_for_another_says_for_which_and_goes_on_when_it_dies(tmp_path, monkeypatch, caplog, start):
    monkeypatch.setattr(waits, "SOON", 0.0)
    first = opened(tmp_path, 500)
    asker = start(ask_on, str(tmp_path))
    wait_for(lambda: StudyRecord.of(first.ledger.study).asker)
    looks = []

    def check_cancelled():
        looks.append(1)
        asker.process.kill()

    with first.asking_alone(check_cancelled):
        assert looks
    (said,) = {record.getMessage() for record in caplog.records if "study opened: waiting" in record.getMessage()}
    assert f"process {asker.process.pid} on " in said and "if it ends or dies" in said


def ask_on(folder: str) -> None:
    """Asks the rows of the study for ever."""
    with opened(Path(folder), 500).asking_alone():
        time.sleep(3600)


def wait_for(condition) -> None:
    while not condition():
        time.sleep(0.05)


def test_a_total_can_only_be_raised(tmp_path):
    first = opened(tmp_path, 500)
    raised = opened(tmp_path, 900)
    assert raised.division == first.division.raised(900) and raised.ledger.left == 900
    assert StudyRecord.of(raised.ledger.study).total_queries == 900
    with fails("study 'opened'", "can only be raised, got 500", kind=StudyMismatch):
        opened(tmp_path, 500)


def test_a_study_without_a_total_is_not_counted_later(store, log, tmp_path):
    tree = costly_tree("costly-free", tmp_path, None, trials=1, reruns=0)
    tree["budget"] |= {"pool": 200, "bank": 100}
    run(store, tree)
    before = asked(log)
    with fails("study 'costly-free'", "exists without budget.total_queries", kind=StudyMismatch):
        run(store, costly_tree("costly-free", tmp_path, 500, trials=1))
    assert asked(log) == before


def test_a_teacher_over_windows_is_asked_within_a_total(store, tmp_path):
    tree = {
        "study": {"name": "costly-windows", "trials": 1, "reruns": 0},
        "teacher": str(save_pt2(made(Lstm), tmp_path / "net.pt2")),
        "student": {"max_parameters": 400},
        "budget": {"steps": 20, "batch": 20, "total_queries": 400},
    }
    assert run(store, tree).promoted is not None
    assert 200 < sum(StudyRecord.of(load_study(store.storage, "costly-windows")).queries.values()) <= 400


def test_a_machine_without_the_answered_rows_is_told_so(tmp_path):
    folder = opened(tmp_path, 500).rows.folder
    assert folder.is_dir()
    folder.rmdir()
    with fails("is not there, and holds the answered rows of study 'opened'", "share it", kind=StorageError):
        opened(tmp_path, 500)
    folder.mkdir()
    assert opened(tmp_path, 500).rows.folder == folder
