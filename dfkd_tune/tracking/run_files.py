"""Write the artifacts of a run, and compare them with a record."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dfkd_tune.tracking.outbox import Record, digest

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

FIGURES = "figures"
"""Folder of a run's artifacts with its figures."""
Content = Callable[[str], bytes]
"""Function from a SHA-256 to the content."""


def artifacts_of(run: Run, uri: str) -> ArtifactRepository:
    """The artifact repository of a run. It does not use an ``MlflowClient``, which may cache another server's repository."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    assert run.info.artifact_uri is not None  # every run has one
    return get_artifact_repository(run.info.artifact_uri, tracking_uri=uri)


def write_files(home: ArtifactRepository, files: Mapping[str, bytes]) -> None:
    """Write files, by their artifact paths, in one call."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            file = Path(folder) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        home.log_artifacts(folder)


def complete(home: ArtifactRepository, record: Record, content: Content) -> bool:
    """Whether a run's artifacts are complete: compares content if they are on this machine, else sizes."""
    if (root := getattr(home, "artifact_dir", None)) is not None:
        files = {path: Path(root) / path for path in record.files}
        return all(files[path].is_file() and digest(files[path]) == sha for path, sha in record.files.items())
    folders = {path.rpartition("/")[0] for path in record.files}
    sizes = {file.path: file.file_size for folder in folders for file in home.list_artifacts(folder or None)}
    return all(sizes.get(path) == len(content(sha)) for path, sha in record.files.items())
