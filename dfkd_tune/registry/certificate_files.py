"""Artifact paths of a certificate in its run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dfkd_tune.tracking.connection import open_client

if TYPE_CHECKING:
    from mlflow.entities import Run

FOLDER = "certificate"
JSON, HTML = "certificate.json", "certificate.html"


def is_certified(uri: str, run: Run) -> bool:
    """Whether a run has its student's certificate."""
    held = open_client(uri).list_artifacts(run.info.run_id, FOLDER)
    return any(Path(file.path).name == JSON for file in held)
