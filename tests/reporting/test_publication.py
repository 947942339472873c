"""A finished study on Optuna's side: notes whose commands can be typed, each student's files once, and nothing twice."""

import shlex

import optuna
import pytest
from made_trials import of

from dfkd_tune.cli.main import cli
from dfkd_tune.compat import optuna as private
from dfkd_tune.reporting.publication import show_in_optuna, study_note, summary_of, trial_note
from dfkd_tune.search.dashboard import artifact_names
from dfkd_tune.search.ranking import Promoted, leading_students
from dfkd_tune.search.storage import PatientStorage, open_storage

BEST = Promoted(1, "rerun-0001-1", 0.25, 0.5, 0.375)
UNTUNED = Promoted(None, "baseline", 0.5, 0.5, 0.5)


@pytest.fixture
def storage(tmp_path) -> PatientStorage:
    made = open_storage(f"sqlite:///{tmp_path}/optuna.db")
    yield made
    made.engine.dispose()


@pytest.fixture
def study(storage) -> optuna.Study:
    made = optuna.create_study(study_name="pump", storage=storage)
    made.add_trials(of(direct=[0.5, 0.25]))
    return made


def command(note: str) -> list[str]:
    """The only indented line of a note."""
    (line,) = (line for line in note.splitlines() if line.startswith("    "))
    return shlex.split(line)


@pytest.mark.parametrize(("promoted", "trial"), [(True, None), (False, 1)])
def test_a_note_says_how_to_register_that_student(study, promoted, trial):
    words = command(trial_note("pump", BEST, promoted))
    found = cli.commands["register"].make_context("register", words[2:]).params
    assert words[:2] == ["dfkd-tune", "register"]
    assert (found["name"], found["model"], found["trial"]) == ("pump", "pump", trial)
    assert command(study_note(study, [BEST])) == ["dfkd-tune", "register", "pump", "--model", "pump"]
    assert "register" not in study_note(study, [])


def test_without_mlflow_there_are_notes_alone(study, storage):
    """Also where the untuned baseline leads, which is no trial."""
    for _ in range(2):
        show_in_optuna(None, storage, study, [UNTUNED, BEST])
    known = storage.get_study_system_attrs(private.study_id(study))
    second = private.trial_id(study.trials[1])
    assert {key for key in known if key.endswith("note_ver")} == {"dashboard:note_ver", f"dashboard:{second}:note_ver"}
    assert known["dashboard:note_ver"] == 1
    assert known[f"dashboard:{second}:note_str:0"].startswith("The best student of this recipe is run `rerun-0001-1`")
    assert artifact_names(study, storage) == set() == artifact_names(study, storage, study.trials[1])


def test_what_is_there_is_not_written_again(store, finished):
    storage = open_storage(store.storage)
    study = optuna.load_study(study_name="finished", storage=storage)
    before = storage.get_study_system_attrs(private.study_id(study))
    show_in_optuna(store.tracking, storage, study, leading_students(study, 2))
    assert storage.get_study_system_attrs(private.study_id(study)) == before
    assert artifact_names(study, storage) == {
        f"{finished.promoted.run}.pt2",
        f"{finished.promoted.run}-certificate.html",
    }
    storage.engine.dispose()


def test_a_study_without_a_certificate_has_no_figures():
    assert summary_of(None) == {"report": None, "by_output": {}}
