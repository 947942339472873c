"""Artifacts of a run: stored, and held against what a record says of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dfkd_tune.tracking.outbox import Record, digest

if TYPE_CHECKING:
    from mlflow.store.artifact.artifact_repo import ArtifactRepository


def write(home: ArtifactRepository, files: Mapping[str, bytes]) -> None:
    """Store files by their paths."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            file = Path(folder) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        home.log_artifacts(folder)


def complete(home: ArtifactRepository, record: Record, content: Callable[[str], bytes]) -> bool:
    """Whether a run's artifacts are there and whole: by their content on this machine, by their sizes elsewhere."""
    if (root := getattr(home, "artifact_dir", None)) is not None:
        files = {path: Path(root) / path for path in record.files}
        return all(files[path].is_file() and digest(files[path]) == sha for path, sha in record.files.items())
    folders = {path.rpartition("/")[0] for path in record.files}
    sizes = {file.path: file.file_size for folder in folders for file in home.list_artifacts(folder or None)}
    return all(sizes.get(path) == len(content(sha)) for path, sha in record.files.items())
