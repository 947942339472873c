"""A study that is stopped or killed loses no finished trial, and the same command resumes it."""

import signal
import sqlite3
import time
from pathlib import Path

import pytest
import yaml
from optuna.trial import TrialState
from processes import Process, command_line
from tiny_studies import Store
from whole_studies import FINISHED, assert_settled, facts, run, stop_when

from dfkd_tune.errors import Interrupted
from dfkd_tune.locations.paths import spool_folder
from dfkd_tune.study.session import run_study
from dfkd_tune.tracking.outbox import Outbox

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.mark.parametrize("moment", ["in flight", "between trials"])
def test_a_stop_can_be_resumed(store, tiny, moment):
    name = moment.replace(" ", "-")
    calls = []

    def between() -> bool:
        """Whether the first trials have ended and the next ones are not claimed yet."""
        return bool(calls) and {trial.state for trial in store.trials(name)} == {
            TrialState.COMPLETE,
            TrialState.WAITING,
        }

    options = stop_when(lambda progress: progress.done + progress.pruned >= 1 and progress.running == 2)
    if moment == "between trials":
        options = {"on_progress": calls.append, "should_stop": between}
    with pytest.raises(Interrupted):
        run(tiny(name, trials=4), store, **options)
    trials = store.trials(name)
    assert [trial.number for trial in trials] == list(range(4))
    assert {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.WAITING}
    begun = {trial.number: trial.params for trial in trials if trial.state == TrialState.WAITING and trial.params}
    assert bool(begun) == (moment == "in flight")
    runs = store.runs(name)
    assert not [run for run in runs if run.info.status == "RUNNING"]
    stopped = [run for run in runs if run.data.tags.get("dfkd.state") == "INTERRUPTED"]
    assert {int(run.data.params["trial"]) for run in stopped} == set(begun)
    assert {run.info.status for run in stopped} <= {"KILLED"}
    (parent,) = store.runs(name, "study")
    assert parent.info.status == "KILLED"

    kept = facts([trial for trial in trials if trial.state == TrialState.COMPLETE])
    run(tiny(name, trials=4), store)
    assert_settled(store, name, 4)
    again = store.trials(name)
    assert facts([again[number] for number, *_ in kept]) == kept
    for number, params in begun.items():
        assert again[number].params == params


def is_under_way(file: Path) -> bool:
    """Whether an SQLite study, read from outside, has two finished trials and others that have all begun."""
    if not file.exists():
        return False
    begun = "SELECT count(*), count(drawn) FROM trials LEFT JOIN (SELECT DISTINCT trial_id AS drawn FROM trial_params)"
    try:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=60) as connection:
            look = "SELECT count(*) FROM trials WHERE state IN ('COMPLETE', 'PRUNED')"
            (ended,) = connection.execute(look).fetchone()
            running, drawn = connection.execute(f"{begun} ON drawn = trial_id WHERE state = 'RUNNING'").fetchone()
            return ended >= 2 and running == drawn > 0
    except sqlite3.OperationalError:  # its tables are being made
        return False


@pytest.fixture
def under_way(tmp_path, store, tree, start):
    """Starts ``dfkd-tune study`` on a study of trials that take a while; returns it once some have finished."""

    def begin(name: str) -> tuple[Process, Store, dict]:
        given = {"trials": 5, "budget": {"steps": 400}, "search": {"optimizer.lr": [0.001, 0.01, 0.02]}}
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree(name, **given)))
        place = PlacedStore(tmp_path, store.tracking)
        (tmp_path / "mlruns").mkdir()
        process = start(command_line, tmp_path, "study", "study.yaml", "--tracking-uri", store.tracking)
        while not is_under_way(tmp_path / "mlruns" / "optuna.db"):
            assert process.alive(), process.said
            time.sleep(0.02)
        return process, place, given

    return begin


class PlacedStore(Store):
    """A store whose MLflow is elsewhere."""

    def __init__(self, home: Path, tracking: str):
        super().__init__(home)
        object.__setattr__(self, "elsewhere", tracking)

    @property
    def tracking(self) -> str:
        return self.elsewhere


def test_a_killed_study_loses_nothing(under_way, tiny):
    process, store, given = under_way("killed")
    process.send(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    trials = store.trials("killed")
    running = [trial for trial in trials if trial.state == TrialState.RUNNING]
    assert running and all(trial.params for trial in running)
    assert [run for run in store.runs("killed") if run.info.status == "RUNNING"]
    # What Optuna counts as done has its student on disk, and at last in MLflow.
    complete = {trial.number: trial for trial in trials if trial.state == TrialState.COMPLETE}
    spool = Outbox(spool_folder(store.storage, "killed"), store.storage)
    closed = {r.run: r for session in spool.sessions() for r in session.records() if r.event == "close"}
    for trial in complete.values():
        record = closed[trial.user_attrs["record"]]
        assert record.metrics["robust"] == trial.value
        assert spool.content(record.files["student/student.safetensors"])

    run_study(tiny("killed", **given), store.storage, store.tracking)
    assert_settled(store, "killed", 5)
    again = store.trials("killed")
    assert facts([again[number] for number in complete]) == facts(list(complete.values()))
    for recorded in store.runs("killed", "trial"):
        number = int(recorded.data.params["trial"])
        if recorded.info.status == "FINISHED":
            assert recorded.data.metrics["robust"] == pytest.approx(again[number].value)
            folder = Path(recorded.info.artifact_uri.removeprefix("file://"))
            assert (folder / "student/student.safetensors").exists()
    for trial in running:
        assert again[trial.number].params == trial.params


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_stops_a_study_resumably(under_way, tiny, number):
    process, store, given = under_way(number.name)
    process.send(number)
    assert process.wait() == 130
    assert "interrupted; run the same command again" in process.said
    assert "Traceback" not in process.said
    assert {trial.state for trial in store.trials(number.name)} <= {TrialState.WAITING, *FINISHED}
    assert not [run for run in store.runs(number.name) if run.info.status == "RUNNING"]
    run_study(tiny(number.name, **given), store.storage, store.tracking)
    assert_settled(store, number.name, 5)
