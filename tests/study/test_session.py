"""The study's promises: exactly N trials, the same ones from the same seed, whatever stops it and however often."""

import json
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from optuna.trial import TrialState
from processes import Process, command_line
from safetensors.torch import save_file
from tiny_studies import Store, runs_of
from torch import nn

from dfkd_tune.errors import Interrupted, StorageError, StudyMismatch, TrackingError
from dfkd_tune.locations.paths import spool_folder
from dfkd_tune.search.loaded import live_study, load_study
from dfkd_tune.search.progress import Progress
from dfkd_tune.search.ranking import run_name, top_candidates
from dfkd_tune.search.storage import open_storage
from dfkd_tune.study.session import run_study
from dfkd_tune.tracking.outbox import Outbox

pytestmark = pytest.mark.usefixtures("undrawn")

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


def facts(trials: list) -> list[tuple]:
    """What must be the same of trials that are the same."""
    return [(trial.number, trial.state, trial.value, trial.params) for trial in trials]


def run(prepared, store: Store, **options):
    return run_study(prepared, store.storage, store.tracking, **options)


def stop_when(condition: Callable[[Progress], bool]) -> dict:
    """Options of ``run_study`` that ask it to stop once its progress meets a condition."""
    stopping = []

    def watch(progress: Progress) -> None:
        if condition(progress):
            stopping.append(True)

    return {"on_progress": watch, "should_stop": lambda: bool(stopping)}


def assert_settled(store: Store, name: str, total: int) -> None:
    """Exactly ``total`` finished trials with unique numbers, and true states in MLflow."""
    trials = store.trials(name)
    assert [trial.number for trial in trials] == list(range(total))
    assert {trial.state for trial in trials} <= set(FINISHED)
    runs = store.runs(name)
    assert not [run.info.run_name for run in runs if run.info.status == "RUNNING"]
    complete = {trial.number for trial in trials if trial.state == TrialState.COMPLETE}
    recorded = [run for run in runs if run.data.tags["dfkd.kind"] == "trial" and run.info.status == "FINISHED"]
    assert {int(run.data.params["trial"]) for run in recorded} == complete
    (parent,) = (run for run in runs if run.data.tags["dfkd.kind"] == "study")
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["study/trials"] == total


def test_a_study_makes_exactly_its_trials(store, finished):
    assert_settled(store, "finished", 6)
    assert finished.progress.done + finished.progress.pruned == 6
    best = min((t.value, t.number) for t in store.trials("finished") if t.state == TrialState.COMPLETE)
    assert finished.best == best


def test_a_resume_adds_only_the_difference(store, tiny):
    first = run(tiny("growing", trials=3), store)
    before = facts(store.trials("growing"))
    grown = run(tiny("growing", trials=5), store)
    assert_settled(store, "growing", 5)
    after = facts(store.trials("growing"))
    assert after[:3] == before
    assert len(store.runs("growing", "trial")) == 5
    assert grown.best <= first.best

    for total in (5, 2):
        again = run(tiny("growing", trials=total), store)
        assert facts(store.trials("growing")) == after
        assert again.best == grown.best
        assert again.baseline == grown.baseline
    assert len(store.runs("growing", "trial")) == 5
    assert len(store.runs("growing", "baseline")) == 1


def test_new_trials_of_a_resume_are_new(store, tiny):
    search = {"optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True}}
    run(tiny("fresh", trials=2, search=search), store)
    run(tiny("fresh", trials=4, search=search), store)
    rates = [trial.params["optimizer.lr"] for trial in store.trials("fresh")]
    assert len(set(rates)) == 4


def certificate_of(store: Store, name: str, kind: str) -> dict[str, dict]:
    """Certificates by the names of the runs that hold one."""
    places = {
        run.info.run_name: Path(run.info.artifact_uri.removeprefix("file://")) / "certificate" / "certificate.json"
        for run in store.runs(name, kind)
    }
    return {run: json.loads(file.read_text()) for run, file in places.items() if file.exists()}


def test_the_report_belongs_to_the_promoted_student(store, tiny):
    done = run(tiny("reported", trials=2, reruns=1), store)
    kinds = ("trial", "rerun", "baseline")
    held = {name: found for kind in kinds for name, found in certificate_of(store, "reported", kind).items()}
    assert held.keys() == {done.promoted.run}  # the report bank is opened for one student
    assert done.report == held[done.promoted.run]["report"]["rmse"]
    assert run(tiny("reported", trials=2, reruns=1), store).report == done.report

    # Where another student is promoted, the report is that student's.
    study = live_study(store.storage, "reported")
    (other,) = (leader for leader in top_candidates(study, 2) if leader.trial != done.promoted.trial)
    name = run_name(other.trial, 1)
    study.set_user_attr("reruns", study.user_attrs["reruns"] | {other.key: {name: [-1000.0, 0.0]}})
    again = run(tiny("reported", trials=2, reruns=1), store)
    assert again.promoted.run == name
    held = certificate_of(store, "reported", "rerun")
    assert again.report == held[name]["report"]["rmse"] != done.report


def test_the_same_seed_gives_the_same_trials(tmp_path, store, tiny):
    made = []
    for place, seed in (("a", 3), ("b", 3), ("c", 4)):
        (tmp_path / place).mkdir()
        url = f"sqlite:///{tmp_path}/{place}/optuna.db"
        run_study(tiny(f"twin-{place}", seed=seed, trials=3), url, store.tracking)
        made.append(facts(load_study(url, f"twin-{place}").get_trials(deepcopy=False)))
    assert made[0] == made[1]
    assert [trial[2] for trial in made[0]] != [trial[2] for trial in made[2]]


@pytest.fixture(scope="module")
def original(store, tiny):
    run(tiny("original", trials=2), store)
    return store


@pytest.fixture(scope="module")
def other_files(tmp_path_factory, small_teacher) -> dict:
    folder = tmp_path_factory.mktemp("other")
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1))
    save_file(network.state_dict(), folder / "other.safetensors")
    (folder / "features.yaml").write_text("features: [a, b, {name: c, range: [0.0, 1.0]}]\n")
    return {
        "teacher": small_teacher | {"path": str(folder / "other.safetensors")},
        "features": str(folder / "features.yaml"),
    }


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ("teacher", "teacher.path: "),
        ("features", "features: "),
        ({"search": {"optimizer.lr": [0.001, 0.01]}}, "search.optimizer.lr: "),
        ({"preset": "random"}, 'preset: "paper" -> "random"'),
        ({"student": {"max_parameters": 50}}, "student.max_parameters: absent -> 50"),
        ({"objective": "nrmse"}, 'exists with another study.objective: "robust" -> "nrmse"; '),
        ({"seed": 1}, "exists with another study.seed: 0 -> 1; "),
        ({"budget": {"bank": 300}}, "bank: 200 -> 300"),
        ({"budget": {"steps": 41}}, "exists with another budget.steps: 40 -> 41; "),
        ({"budget": {"pool": 600}}, "budget.pool 500"),
    ],
    ids=str,
)
def test_a_resume_of_another_study_is_refused(original, other_files, tiny, changed, named):
    if isinstance(changed, str):
        changed = {changed: other_files[changed]}
    if "preset" in changed:  # the default space searches the kind
        changed = changed | {"search": {}}
    before = facts(original.trials("original"))
    with pytest.raises(StudyMismatch) as refusal:
        run(tiny("original", **{"trials": 4} | changed), original)
    assert named in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert facts(original.trials("original")) == before


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


def test_each_database_has_one_owner(tmp_path, store, tiny):
    with pytest.raises(StorageError, match="at once"):
        run_study(tiny("both"), f"sqlite:///{tmp_path}/one.db", f"sqlite:///{tmp_path}/one.db")
    assert list(tmp_path.iterdir()) == []
    store.hand_out(tmp_path)
    open_storage(f"sqlite:///{tmp_path}/optuna.db")
    with pytest.raises(StorageError, match=r"mlflow\.db: is a database of another program"):
        run_study(tiny("both"), f"sqlite:///{tmp_path}/mlruns/mlflow.db", store.tracking)
    with pytest.raises(TrackingError, match=r"optuna\.db: is a database of another program"):
        run_study(tiny("both"), f"sqlite:///{tmp_path}/other.db", f"sqlite:///{tmp_path}/optuna.db")


def test_a_trial_is_pruned_before_its_finish(store, tiny):
    """Whose steps are a small part of its budget: it is looked at where they end, among those that spent as much."""
    about = {
        "trials": 24,
        "preset": "faithful",
        "search": {"start.surplus": [0.2], "optimizer.lr": {"low": 1e-4, "high": 1.0}},
    }
    done = run(tiny("short-steps", **about), store)
    assert_settled(store, "short-steps", 24)
    pruned = [trial for trial in store.trials("short-steps") if trial.state == TrialState.PRUNED]
    assert len(pruned) == done.progress.pruned > 0
    for trial in store.trials("short-steps"):
        assert list(trial.intermediate_values) == [7]
    assert all("among the worst quarter at step" in trial.user_attrs["reason"] for trial in pruned)


def test_a_diverged_trial_is_an_outcome(store, tiny):
    search = {"optimizer.lr": {"low": 1e12, "high": 1e14, "log": True}}
    done = run(tiny("diverged", trials=3, search=search), store)
    assert_settled(store, "diverged", 3)
    assert done.best is None
    assert done.progress.pruned == 3
    for trial in store.trials("diverged"):
        assert trial.state == TrialState.PRUNED
        assert "diverged" in trial.user_attrs["reason"]
    for recorded in store.runs("diverged", "trial"):
        assert recorded.info.status == "KILLED"
        assert recorded.data.tags["dfkd.state"] == "PRUNED"
        assert "diverged" in recorded.data.tags["dfkd.reason"]
        assert "rmse" not in recorded.data.metrics


def test_sessions_share_a_fresh_store(tmp_path, tree, start):
    """Three processes at once on a store that none of them finds made: two of one study, one of another."""
    processes = []
    for name in ("shared", "shared", "other"):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(tree(name, trials=2, reruns=1)))
        processes.append(start(command_line, tmp_path, "study", f"{name}.yaml"))
    statuses = [process.wait() for process in processes]
    assert statuses == [0, 0, 0], [process.said for process in processes]
    for name in ("shared", "other"):
        assert_settled(Store(tmp_path), name, 2)
        reruns = [run.info.run_name for run in Store(tmp_path).runs(name, "rerun")]
        assert len(reruns) == len(set(reruns)) >= 2


def test_a_study_lives_in_postgresql(postgresql, store, tiny):
    name = "in-postgresql"
    with pytest.raises(Interrupted):
        run_study(
            tiny(name, trials=5), postgresql, store.tracking, **stop_when(lambda p: p.done >= 1 and p.running > 1)
        )
    done = run_study(tiny(name, trials=5), postgresql, store.tracking)
    trials = load_study(postgresql, name).get_trials(deepcopy=False)
    assert [trial.number for trial in trials] == list(range(5))
    assert {trial.state for trial in trials} <= set(FINISHED)
    assert done.best == min((t.value, t.number) for t in trials if t.state == TrialState.COMPLETE)
    assert not [run for run in runs_of(store.tracking, name) if run.info.status == "RUNNING"]


def test_sessions_that_end_together_tell_the_story_once(store, tiny):
    """The second session does all the work while the first one still prepares; who runs the command again has it told again."""
    others = []

    def told() -> dict:
        return load_study(store.storage, "twice").user_attrs["told"]

    def work() -> bool:
        if not others:
            others.append(None)  # it is asked this question too
            others[0] = run(tiny("twice", trials=2, reruns=0), store), told()
        return False

    done = run(tiny("twice", trials=2, reruns=0), store, should_stop=work)
    (other, story), seen = others[0], told()
    assert seen == story and done.report == other.report > 0
    run(tiny("twice", trials=2, reruns=0), store)
    assert told()["at"] > story["at"]
