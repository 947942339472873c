"""A total is opened before a teacher is asked, and can only be raised."""

import re
import shutil
import time
from functools import partial
from pathlib import Path

import pytest
from asked import fails
from costly import asked, costly_tree, run
from shaped_teachers import Lstm, made, save_pt2

from dfkd_tune.errors import QueriesSpent, StorageError, StudyMismatch
from dfkd_tune.search.attributes import IDENTITY, POOL, StudyRecord
from dfkd_tune.search.foreign import AGREED
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.prepare import prepare
from dfkd_tune.study.total.division import Division
from dfkd_tune.study.total.opening import Subject, Total, open_total, require_openable, rows_folder
from dfkd_tune.teachers.metering.meter import Meter
from dfkd_tune.teachers.metering.parts import OPENING
from dfkd_tune.teachers.probe import Probe
from dfkd_tune.utils import waits

pytestmark = pytest.mark.usefixtures("undrawn")


SUBJECT = Subject("teacher", "features")


def opened(folder, total: int, name: str = "opened", asked_before: int = 0, subject=SUBJECT):
    spec = parse_spec(costly_tree(name, folder, total), "costly")
    return open_total(spec, f"sqlite:///{folder}/optuna.db", Meter(asked=asked_before), subject)


def set_up(total: Total) -> Total:
    """Record the study as one that has begun its trials."""
    total.settle()
    total.ledger.study.set_user_attr(POOL, 1)
    total.ledger.study.set_user_attr(IDENTITY, dict.fromkeys(AGREED, "") | SUBJECT._asdict())
    return total


def test_a_teacher_is_probed_once_and_its_rows_are_found_again(tmp_path):
    first, probes = opened(tmp_path, 500), []

    def measure():
        probes.append(1)
        return Probe(3, 1, False, 1e3, takes_arrays=True)

    found, settled = first.probed(measure)
    assert found == opened(tmp_path, 500).probed(measure)[0] == Probe(3, 1, False, 1e3, takes_arrays=True)
    assert first.meter.takes_arrays is opened(tmp_path, 500).meter.takes_arrays is True
    assert probes == [1]
    assert settled.division == opened(tmp_path, 500).probed(measure)[1].division == Division.of(500, 0)
    assert opened(tmp_path, 500).rows.folder == first.rows.folder != opened(tmp_path, 500, "other").rows.folder


@pytest.mark.parametrize(
    "subject", [Subject("edited", "features"), Subject("teacher", "edited"), Subject("", "x"), None]
)
def test_a_study_that_was_never_set_up_forgets_another_teacher(tmp_path, subject):
    """Its answers are not those of this one; what they cost still counts."""
    first = opened(tmp_path, 500)
    first.ledger.claim("opening", 7)
    first.probed(lambda: Probe(3, 1, False, 1e3, takes_arrays=True))
    again = opened(tmp_path, 450, subject=subject)
    assert again.rows.folder != first.rows.folder and not first.rows.folder.exists()
    assert again.meter.takes_arrays is None
    assert again.probed(lambda: Probe(3, 2, False, 1e3))[0].outputs == 2
    assert again.ledger.claimed() == {"opening": 7}


def test_a_process_that_asked_before_it_knew_the_inputs_goes_on(tmp_path):
    spec = parse_spec(costly_tree("opened", tmp_path, 500), "costly")
    meter = Meter(opening=partial(open_total, spec, f"sqlite:///{tmp_path}/optuna.db"))
    assert not (tmp_path / "optuna.db").exists()
    meter.claim(2)
    folder = meter.rows.folder
    total = open_total(spec, f"sqlite:///{tmp_path}/optuna.db", meter, SUBJECT)
    assert total.rows.folder == folder and total.ledger.claimed() == {"opening": 2}
    assert opened(tmp_path, 500).rows.folder == folder


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
    assert opened(tmp_path, 900).probed(measure)[1].division == Division.of(900, 91)  # not set up yet
    set_up(settled)
    assert opened(tmp_path, 900).division == settled.division.raised(900)


def test_a_total_that_its_opening_used_up_is_refused_before_it_is_recorded(tmp_path):
    """Several looks at a teacher that failed; the larger total has a first round of its own."""
    first = opened(tmp_path, 400)
    first.ledger.claim(OPENING, 250)
    with fails("study 'opened'", "250 of 400 teacher queries were needed", "raise budget.total", kind=QueriesSpent):
        first.probed(lambda: Probe(3, 1, False, 1e3))
    raised = set_up(opened(tmp_path, 600).probed(lambda: Probe(3, 1, False, 1e3))[1])
    assert raised.division == Division.of(600, 250) and raised.division.trains


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
    first = set_up(opened(tmp_path, 500))
    raised = opened(tmp_path, 900)
    assert raised.division == first.division.raised(900) and raised.ledger.left == 900
    assert StudyRecord.of(raised.ledger.study).total_queries == 500  # until the settings are agreed
    raised.settle()
    assert StudyRecord.of(raised.ledger.study).total_queries == 900
    with fails("study 'opened'", "can only be raised, got 500", kind=StudyMismatch):
        opened(tmp_path, 500)


def test_a_study_that_was_never_set_up_has_no_total_to_keep(tmp_path):
    opened(tmp_path, 900)
    lower = opened(tmp_path, 500)
    assert lower.ledger.left == 500 and lower.division == Division.of(500)


def test_a_total_that_another_process_raised_meanwhile_is_told(tmp_path):
    set_up(opened(tmp_path, 500))
    mine, theirs = opened(tmp_path, 700), opened(tmp_path, 900)
    theirs.settle()
    with fails("study 'opened'", "900 in the meantime", kind=StudyMismatch):
        mine.settle()


@pytest.mark.parametrize(
    ("subject", "words"),
    [(Subject("other", "features"), '"teacher" -> "other"'), (Subject("", "other"), '"features" -> "other"')],
)
def test_another_teacher_is_refused_before_it_is_asked(tmp_path, subject, words):
    set_up(opened(tmp_path, 500))
    with fails("study 'opened'", words, kind=StudyMismatch):
        opened(tmp_path, 900, subject=subject)
    assert opened(tmp_path, 500, subject=Subject("", "features")).division == Division.of(500)


def test_nothing_is_written_to_see_whether_a_total_can_be_opened(tmp_path):
    spec = parse_spec(costly_tree("opened", tmp_path, 500), "costly")
    before = sorted(tmp_path.rglob("*"))
    require_openable(spec, f"sqlite:///{tmp_path}/optuna.db", SUBJECT)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_study_without_a_total_is_not_counted_later(store, log, tmp_path):
    tree = costly_tree("costly-free", tmp_path, None, trials=1, reruns=0)
    tree["budget"] |= {"pool": 200, "bank": 100}
    run(store, tree)
    before = asked(log)
    with fails("study 'costly-free'", "exists without budget.total_queries", kind=StudyMismatch):
        run(store, costly_tree("costly-free", tmp_path, 500, trials=1))
    assert asked(log) == before


def test_a_total_is_not_forgotten_later(log, tmp_path):
    set_up(opened(tmp_path, 500))
    spec = parse_spec(costly_tree("opened", tmp_path, None), "costly")
    with fails("study 'opened'", "exists with budget.total_queries 500", "give that total or", kind=StudyMismatch):
        prepare(spec, storage_url=f"sqlite:///{tmp_path}/optuna.db")
    assert asked(log) == 0


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
    folder = set_up(opened(tmp_path, 500)).rows.folder
    assert folder.is_dir()
    folder.rmdir()
    with fails("is not there, and holds the answered rows of study 'opened'", "make it, empty, to", kind=StorageError):
        opened(tmp_path, 500)
    folder.mkdir()
    assert opened(tmp_path, 500).rows.folder == folder


def test_what_replaces_the_answered_rows_of_a_spent_study_is_told(store, log, tmp_path):
    tree = costly_tree("costly-lost", tmp_path, 400, trials=2, reruns=0)
    run(store, tree)
    record = StudyRecord.of(load_study(store.storage, "costly-lost"))
    folder = rows_folder(store.storage, record)
    shutil.rmtree(folder)
    with pytest.raises(StorageError, match="make it, empty, and raise") as refused:
        run(store, tree)
    total = int(re.search(r"total_queries to ([\d,]+)", str(refused.value))[1].replace(",", ""))
    folder.mkdir()
    before = asked(log)
    again = run(store, costly_tree("costly-lost", tmp_path, total, trials=2, reruns=0))
    assert again.promoted is not None and asked(log) - before <= total - 400
