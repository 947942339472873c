"""Notes and files are as optuna-dashboard and Optuna read them; what is there already is left alone."""

import optuna
import pytest
from optuna.artifacts import FileSystemArtifactStore, download_artifact, get_all_artifact_meta
from optuna.trial import create_trial
from optuna_dashboard._note import get_note_from_system_attrs

from dfkd_tune.compat import optuna as private
from dfkd_tune.search.dashboard import FOLDER, add_artifact, artifact_names, name_objectives, save_note
from dfkd_tune.search.storage import open_storage


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/optuna.db"


@pytest.fixture
def storage(url):
    made = open_storage(url)
    yield made
    made.engine.dispose()


@pytest.fixture
def study(storage) -> optuna.Study:
    made = optuna.create_study(study_name="pump", storage=storage)
    made.add_trials([create_trial(value=value) for value in (1.0, 2.0)])
    return made


def note(study, storage, trial=None) -> dict:
    known = storage.get_study_system_attrs(private.study_id(study))
    return get_note_from_system_attrs(known, None if trial is None else private.trial_id(trial))


def test_a_note_is_read_as_it_was_written(study, storage):
    """Also a long one, and a short one after it; each trial has its own."""
    trial = study.trials[1]
    for body in ("long " * 2_000, "**short** é", "**short** é"):
        save_note(study, storage, body)
        save_note(study, storage, f"trial: {body}", trial)
        assert note(study, storage)["body"] == body and note(study, storage, trial)["body"] == f"trial: {body}"
    assert (note(study, storage)["version"], note(study, storage, trial)["version"]) == (2, 2)
    assert note(study, storage, study.trials[0])["body"] == ""
    name_objectives(study, storage, ["robust"])
    name_objectives(study, storage, ["robust"])
    assert study.metric_names is None  # they would rename the columns of ``trials_dataframe``


def test_a_file_is_kept_for_the_study_or_for_one_trial(study, storage, url, tmp_path):
    first, second = study.trials
    for name, of in (("page.html", None), ("student.pt2", second)):
        (tmp_path / name).write_bytes(name.encode())
        add_artifact(study, storage, url, tmp_path / name, of)
    assert artifact_names(study, storage) == {"page.html"}
    assert (artifact_names(study, storage, first), artifact_names(study, storage, second)) == (set(), {"student.pt2"})
    (held,) = get_all_artifact_meta(second, storage=storage)
    kept = FileSystemArtifactStore(tmp_path / FOLDER)
    download_artifact(artifact_store=kept, file_path=str(tmp_path / "again"), artifact_id=held.artifact_id)
    assert (tmp_path / "again").read_bytes() == b"student.pt2"
