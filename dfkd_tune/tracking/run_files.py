"""The artifacts of a run: written, and held against a record."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dfkd_tune.tracking.outbox import Record, digest

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

Content = Callable[[str], bytes]
"""SHA-256 -> file."""


def artifacts_of(run: Run, uri: str) -> ArtifactRepository:
    """Where a run's artifacts are; a client would ask the server that any other client of this process knew it from."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    assert run.info.artifact_uri is not None  # every run has its place
    return get_artifact_repository(run.info.artifact_uri, tracking_uri=uri)


def write_files(home: ArtifactRepository, files: Mapping[str, bytes]) -> None:
    """Write files, by their paths among the artifacts, at once."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            file = Path(folder) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        home.log_artifacts(folder)


def complete(home: ArtifactRepository, record: Record, content: Content) -> bool:
    """Whether a run's artifacts are there and whole: by their content on this machine, by their sizes elsewhere."""
    if (root := getattr(home, "artifact_dir", None)) is not None:
        files = {path: Path(root) / path for path in record.files}
        return all(files[path].is_file() and digest(files[path]) == sha for path, sha in record.files.items())
    folders = {path.rpartition("/")[0] for path in record.files}
    sizes = {file.path: file.file_size for folder in folders for file in home.list_artifacts(folder or None)}
    return all(sizes.get(path) == len(content(sha)) for path, sha in record.files.items())
