"""What names a teacher: a file, or something that is no file."""

from __future__ import annotations

from dfkd_tune.teachers.endpoints.address import SCHEMES as ENDPOINTS
from dfkd_tune.teachers.formats.mlflow_model import SCHEMES
from dfkd_tune.utils.object_reference import MODULE_PATH

IN_MEMORY = "in memory: "
"""Prefix of the source of a teacher that was given in Python, and that no file holds."""


def is_file(source: str) -> bool:
    """Whether a source is a path, not a URI, ``package.module:function`` or an object in memory."""
    return not (MODULE_PATH.fullmatch(source) or source.startswith((*SCHEMES, *ENDPOINTS, IN_MEMORY)))
