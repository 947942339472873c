"""What names a teacher: a file, or something that is no file. It is looked at before PyTorch is imported."""

from __future__ import annotations

from pathlib import Path

from dfkd_tune.errors import TeacherError
from dfkd_tune.teachers.endpoints.address import SCHEMES as ENDPOINTS
from dfkd_tune.utils.object_reference import MODULE_PATH

MLFLOW = ("models:/", "runs:/")
"""Prefixes of the URI of a model in MLflow."""
IN_MEMORY = "in memory: "
"""Prefix of the source of a teacher that was given in Python, and that no file holds."""


def is_file(source: str) -> bool:
    """Whether a source is a path, not a URI, ``package.module:function`` or an object in memory."""
    return not (MODULE_PATH.fullmatch(source) or source.startswith((*MLFLOW, *ENDPOINTS, IN_MEMORY)))


def require_file(path: Path) -> None:
    """Check that a teacher's file, or folder, is there.

    Raises:
        TeacherError: it is not.
    """
    if not path.exists():
        raise TeacherError(path, "no such file", remedy="give a model file or package.module:function")


def remedy_of_change(source: str) -> str:
    """What to do about a teacher that answers a row otherwise than before, by what it is."""
    if source.startswith(IN_MEMORY) or MODULE_PATH.fullmatch(source):
        return "let the teacher answer the same rows alike at any time, without a state, a clock or random numbers; then distill it again"
    if source.startswith(ENDPOINTS):
        return "see that one version of the model answers at this address all the time; then distill it again"
    if source.startswith(MLFLOW):
        return "name one version of the model, not an alias or a stage; then distill it again"
    return "distill it again with the teacher's file and the features file as they are now"
