"""What optuna-dashboard shows of a study besides trials: names of objectives, notes in Markdown, and files.

Notes and names are attributes in the dashboard's format, so that it need not be installed. Files are Optuna's artifacts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta, upload_artifact
from optuna.trial import FrozenTrial

from dfkd_tune.compat import optuna as private
from dfkd_tune.locations.paths import shared_folder, writable
from dfkd_tune.search.storage import PatientStorage

OBJECTIVES = "dashboard:objective_names"
"""Study attribute with the names of the objectives. Optuna's own metric names would rename the columns of ``trials_dataframe``."""
NOTE_LENGTH = 2045
"""Largest number of characters in one attribute of a note."""
FOLDER = "optuna-artifacts"
"""Folder of the artifacts, beside the SQLite file or in ``mlruns/``; it is the dashboard's ``--artifact-dir``."""


def name_objectives(study: optuna.Study, storage: PatientStorage, names: Sequence[str]) -> None:
    """Name the objectives of a study on the dashboard's pages."""
    if storage.get_study_system_attrs(private.study_id(study)).get(OBJECTIVES) != [*names]:
        storage.set_study_system_attr(private.study_id(study), OBJECTIVES, [*names])


def save_note(study: optuna.Study, storage: PatientStorage, body: str, trial: FrozenTrial | None = None) -> None:
    """Write the note of a study or of a trial, in Markdown; an equal one is left alone."""
    where = "dashboard:" if trial is None else f"dashboard:{private.trial_id(trial)}:"
    number, known = private.study_id(study), storage.get_study_system_attrs(private.study_id(study))
    version, part = f"{where}note_ver", f"{where}note_str:"
    parts = {f"{part}{i}": body[at : at + NOTE_LENGTH] for i, at in enumerate(range(0, len(body), NOTE_LENGTH))}
    parts = dict.fromkeys((key for key in known if key.startswith(part)), "") | parts
    if version in known and all(known.get(key) == text for key, text in parts.items()):
        return
    storage.set_study_system_attr(number, version, int(known.get(version, 0)) + 1)
    for key, text in parts.items():
        storage.set_study_system_attr(number, key, text)


def artifact_names(study: optuna.Study, storage: PatientStorage, trial: FrozenTrial | None = None) -> set[str]:
    """File names of the artifacts of a study or of a trial."""
    artifacts = get_all_artifact_meta(study if trial is None else trial, storage=storage)
    return {each.filename for each in artifacts}


def artifact_files(study: optuna.Study, storage: PatientStorage, storage_url: str) -> list[Path]:
    """The artifacts of a study and its trials that are in the folder of the artifacts."""
    folder = shared_folder(storage_url, FOLDER)
    held = [storage.get_study_system_attrs(private.study_id(study))]
    held += [trial.system_attrs for trial in study.get_trials(deepcopy=False)]
    names = [
        key.removeprefix(private.ARTIFACT)
        for attributes in held
        for key in attributes
        if key.startswith(private.ARTIFACT)
    ]
    return sorted(file for name in names if (file := folder / name).is_file())


def add_artifact(
    study: optuna.Study, storage: PatientStorage, storage_url: str, file: Path, trial: FrozenTrial | None = None
) -> None:
    """Keep a copy of a file as an artifact of a study or of a finished trial, under its name.

    Raises:
        StorageError: if the folder of the artifacts cannot be written.
    """
    store = FileSystemArtifactStore(writable(shared_folder(storage_url, FOLDER)))
    made = upload_artifact(artifact_store=store, file_path=str(file), study_or_trial=study, storage=storage)
    if (
        trial is not None
    ):  # Optuna attaches a file to a trial only while it runs, and no other way to ``made`` is public
        storage.transact(lambda session: private.move_artifact(session, study, trial, made))
