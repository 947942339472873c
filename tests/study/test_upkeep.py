"""Removing and renaming: nothing of a study stays behind, nothing of another is lost, and what goes on goes on."""

import json

import optuna
import pytest
from asked import fails, files_of
from filelock import FileLock
from mlflow import MlflowClient
from tiny_studies import Store, runs_of

from dfkd_tune.errors import NotFound, SpecError, StudyMismatch, TrackingError
from dfkd_tune.locations.paths import shared_folder, spool_folder
from dfkd_tune.registry.register import register
from dfkd_tune.search.attributes import PARTS, StudyRecord
from dfkd_tune.search.dashboard import FOLDER
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.locks import PURPOSES, StudyLock
from dfkd_tune.search.storage import open_storage
from dfkd_tune.study import upkeep
from dfkd_tune.study.opening import open_queue
from dfkd_tune.study.session import run_study
from dfkd_tune.study.sync import sync
from dfkd_tune.study.workers import join
from dfkd_tune.teachers.output_cache import files_of as answers_of
from dfkd_tune.tracking.outbox import Outbox

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def home(store, tmp_path) -> Store:
    """Stores of this test alone."""
    store.hand_out(tmp_path)
    return Store(tmp_path)


def run(home: Store, prepared):
    return run_study(prepared, home.storage, home.tracking)


def plan(home: Store, name: str) -> upkeep.Removal:
    return upkeep.plan_removal(name, home.storage, home.tracking)


def names(home: Store) -> list[str]:
    return optuna.get_all_study_names(home.storage)


def test_removal_takes_all_of_one_study_and_nothing_of_another(home, tiny):
    run(home, tiny("gone", trials=2))
    run(home, tiny("kept", trials=2))
    answers = shared_folder(home.storage, "answers")
    answers.mkdir(exist_ok=True)
    teacher = StudyRecord.of(load_study(home.storage, "gone")).identity["teacher"]
    (answers / f"{teacher[:16]}-0.safetensors").write_bytes(b"outputs")
    (answers / "0123456789abcdef-0.safetensors").write_bytes(b"outputs of another teacher")
    before = files_of(home.home)

    found = plan(home, "gone")
    assert (found.trials, found.runs, found.answers) == (2, len(home.runs("gone")), ())
    assert found.bytes > 0 and files_of(home.home) - before <= {"mlruns/optuna.db-shm", "mlruns/optuna.db-wal"}
    shown = {path.name for path in shared_folder(home.storage, FOLDER).iterdir()}
    assert {path.name for path in found.artifacts} < shown
    upkeep.remove(found)
    assert {path.name for path in shared_folder(home.storage, FOLDER).iterdir()} == shown - {
        path.name for path in found.artifacts
    }
    assert names(home) == ["kept"]
    assert not spool_folder(home.storage, "gone").exists()
    assert MlflowClient(home.tracking).get_experiment_by_name("gone") is None
    assert sync(home.storage, home.tracking, "kept").written == 0
    with fails("study 'gone'", "does not exist here", kind=NotFound):
        plan(home, "gone")

    last = plan(home, "kept")
    assert answers / f"{teacher[:16]}-0.safetensors" in last.answers  # a slow machine shares real outputs, too
    upkeep.remove(last)
    assert answers_of(answers, teacher) == []
    assert [file.name for file in answers.iterdir()] == ["0123456789abcdef-0.safetensors"]

    folder = shared_folder(home.storage, FOLDER)
    assert list(folder.iterdir()) == []

    run(home, tiny("gone", trials=1))  # the name is free again
    assert len(home.runs("gone", "trial")) == 1


def test_a_removal_that_was_cut_short_is_repeated(home, tiny, monkeypatch):
    run(home, tiny("gone", trials=1))
    with monkeypatch.context() as patch:
        patch.setattr(optuna, "delete_study", lambda **given: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            upkeep.remove(plan(home, "gone"))
    again = plan(home, "gone")
    assert (again.runs, again.spool) == (None, None)
    upkeep.remove(again)
    assert names(home) == []


def test_a_kept_teacher_goes_with_the_last_study_that_names_it(home, tree, tmp_path):
    import torch

    from dfkd_tune.search.study_file import parse_spec
    from dfkd_tune.study.prepare import prepare
    from dfkd_tune.teachers.in_memory import given

    folder = shared_folder(home.storage, "teachers")
    kept = given(torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)), folder).path
    for name in ("first", "second"):
        run(home, prepare(parse_spec(tree(name, trials=1) | {"teacher": kept}, name)))
    assert plan(home, "first").kept == ()
    upkeep.remove(plan(home, "first"))
    assert [str(file) for file in plan(home, "second").kept] == [kept]
    upkeep.remove(plan(home, "second"))
    assert list(folder.iterdir()) == []


def test_a_study_with_registered_versions_stays(home, tiny):
    run(home, tiny("gone", trials=2))
    register(home.tracking, "gone", "pump")
    with fails("study 'gone'", "pump version 1", "delete the registered versions", kind=StudyMismatch):
        plan(home, "gone")
    MlflowClient(home.tracking).delete_model_version("pump", "1")
    assert plan(home, "gone").runs == len(home.runs("gone"))


@pytest.fixture
def begun(home, tiny):
    """A study that was set up, with its queue, and never worked on."""
    return open_queue(tiny("begun", trials=2), home.storage, home.tracking)


def test_a_study_is_kept_while_a_worker_has_a_trial(home, begun):
    _, queue = begun
    queue.claim(2)
    with fails("study 'begun'", "is running", kind=StudyMismatch):
        plan(home, "begun")
    with fails("study 'begun'", "is running", kind=StudyMismatch):
        upkeep.rename("begun", "other", home.storage, home.tracking)
    queue.give_back()
    assert plan(home, "begun").trials == 1


@pytest.mark.parametrize("purpose", [*PURPOSES, 0])
def test_a_study_is_kept_while_a_worker_has_no_trial_but_a_task(home, begun, purpose):
    """Re-runs and the baseline are no trials."""
    study, _ = begun
    if purpose == 0:
        study.set_user_attr(PARTS, 1)  # as before the first re-run
    lock = StudyLock(open_storage(home.storage), home.storage, study, purpose)
    assert lock.acquire()
    with fails("study 'begun'", "is running", kind=StudyMismatch):
        plan(home, "begun")
    lock.release()
    plan(home, "begun")


@pytest.mark.parametrize("second", ["rename", "remove"])
def test_of_two_commands_at_once_one_is_refused(home, tiny, monkeypatch, second):
    """The first one is in the middle when the second begins."""
    run(home, tiny("old", trials=1))
    commands = {
        "rename": lambda: upkeep.rename("old", "other", home.storage, home.tracking),
        "remove": lambda: plan(home, "old"),
    }
    renamed = upkeep.experiments.rename

    def meanwhile(*given):
        with fails("study 'old'", "is running", kind=StudyMismatch):
            commands[second]()
        renamed(*given)

    monkeypatch.setattr(upkeep.experiments, "rename", meanwhile)
    upkeep.rename("old", "new", home.storage, home.tracking)
    assert names(home) == ["new"]
    assert sync(home.storage, home.tracking, "new").written == 0


def test_a_damaged_store_of_mlflow_is_told_before_anything_changes(home, tiny):
    run(home, tiny("old", trials=1))
    file = home.home / "mlruns" / "mlflow.db"
    data = bytearray(file.read_bytes())
    data[4096:12288] = b"x" * 8192
    file.write_bytes(data)
    for command in (
        lambda: plan(home, "old"),
        lambda: upkeep.rename("old", "new", home.storage, home.tracking),
    ):
        with fails(str(file), "is damaged", "put a copy of it back", kind=TrackingError):
            command()
    assert names(home) == ["old"]


def test_a_study_is_kept_while_a_process_records_it(home, tiny):
    """A worker that queries a slow teacher has neither trial nor lock yet, but its session of the spool."""
    run(home, tiny("begun", trials=1))
    (session,) = Outbox(spool_folder(home.storage, "begun"), home.storage).sessions()
    with FileLock(session.folder / "lock"), fails("study 'begun'", "is running", kind=StudyMismatch):
        plan(home, "begun")
    plan(home, "begun")


def everything_that_names(home: Store, name: str) -> list[str]:
    """What in MLflow and in the spool still says a name; files of students are under their SHA-256, and stay."""
    client = MlflowClient(home.tracking)
    found = []
    for experiment in client.search_experiments():
        if experiment.name in ("old", "new"):
            found += [f"experiment tag {k}" for k, v in experiment.tags.items() if name in v.split("`")]
            for each in client.search_runs([experiment.experiment_id]):
                found += [f"run tag {k}" for k, v in each.data.tags.items() if v == name or f" {name}`" in v]
                found += [f"note of {each.info.run_name}"] * (
                    f"'{name}'" in each.data.tags.get("mlflow.note.content", "")
                )
    for version in client.search_model_versions():
        found += [f"version tag {k}" for k, v in version.tags.items() if v == name]
        found += ["version description"] * (f"**{name}**" in (version.description or ""))
    for file in spool_folder(home.storage, "new").glob("*/**/*.json"):
        record = json.loads(file.read_text())
        found += [file.name] * (name in (record.get("name"), *record.get("tags", {}).values()))
    return found


def test_a_renamed_study_goes_on_as_if_it_had_always_been_called_so(home, tiny):
    run(home, tiny("old", trials=2))
    before = home.trials("old")
    register(home.tracking, "old", "pump")
    upkeep.rename("old", "new", home.storage, home.tracking)
    assert names(home) == ["new"]
    assert everything_that_names(home, "old") == []
    assert MlflowClient(home.tracking).get_experiment_by_name("old") is None
    assert not spool_folder(home.storage, "old").exists()
    synced = sync(home.storage, home.tracking, "new")
    assert (synced.written, synced.rebuilt, synced.refused) == (0, 0, ())

    run(home, tiny("new", trials=3))
    assert [t.params for t in home.trials("new")][:2] == [t.params for t in before]
    assert len(home.runs("new", "trial")) == 3 and len(home.runs("new", "study")) == 1
    assert join("new", home.storage, home.tracking).name == "new"
    assert register(home.tracking, "new", "pump", trial=2).version == 2
    assert everything_that_names(home, "old") == []


def test_a_rename_that_was_cut_short_is_repeated(home, tiny, monkeypatch):
    run(home, tiny("old", trials=1))
    with monkeypatch.context() as patch:
        patch.setattr(upkeep.private, "rename_study", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            upkeep.rename("old", "new", home.storage, home.tracking)
    assert names(home) == ["old"]
    upkeep.rename("old", "new", home.storage, home.tracking)
    assert names(home) == ["new"] and everything_that_names(home, "old") == []
    assert sync(home.storage, home.tracking, "new").written == 0


def test_a_damaged_record_does_not_stop_a_rename(home, tiny):
    run(home, tiny("old", trials=1))
    broken = next(spool_folder(home.storage, "old").glob("*/shipped/*.json"))
    broken.write_text("{")
    upkeep.rename("old", "new", home.storage, home.tracking)
    assert names(home) == ["new"]


def test_a_name_that_is_taken_or_cannot_be_one_is_refused(home, tiny):
    run(home, tiny("old", trials=1))
    run(home, tiny("taken", trials=1))
    for new, kind, words in (
        ("taken", StudyMismatch, "exists already"),
        ("../up", SpecError, "must be letters"),
        ("old", StudyMismatch, "exists already"),
    ):
        with fails("", words, kind=kind):
            upkeep.rename("old", new, home.storage, home.tracking)
    MlflowClient(home.tracking).create_experiment("theirs")
    with fails("study 'theirs'", "MLflow experiment", kind=StudyMismatch):
        upkeep.rename("old", "theirs", home.storage, home.tracking)
    with fails("study 'none'", "does not exist here", kind=NotFound):
        upkeep.rename("none", "new", home.storage, home.tracking)
    assert sorted(names(home)) == ["old", "taken"]
    assert len(runs_of(home.tracking, "old")) > 0


def test_a_run_that_was_renamed_in_mlflow_is_found(home, tiny):
    """MLflow's pages rename runs, to any text."""
    run(home, tiny("renamed", trials=2))
    client = MlflowClient(home.tracking)
    before = register(home.tracking, "renamed", "pump")
    for each in home.runs("renamed"):
        client.update_run(each.info.run_id, name='bob\'s / "best"')
    assert register(home.tracking, "renamed", "pump").version == before.version
    done = sync(home.storage, home.tracking, "renamed")
    assert (done.written, done.rebuilt, done.refused, done.models) == (0, 0, (), 0)
    assert register(home.tracking, "renamed", "other", trial=1).version == 1
