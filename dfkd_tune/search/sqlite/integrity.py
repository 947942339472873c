"""Check the SQLite file of a storage before it is opened."""

from __future__ import annotations

from dfkd_tune.errors import StorageError
from dfkd_tune.locations import sqlite_files

DAMAGED_REMEDY = "put a copy of it back, or start anew with another --storage and --name; the runs in MLflow are kept"
"""Remedy for a damaged database."""


def require_intact(url: str) -> None:
    """Check that the SQLite file of a storage is intact, if it exists.

    Raises:
        StorageError: it is a directory, not an SQLite file, or damaged.
    """
    sqlite_files.check(url, StorageError, DAMAGED_REMEDY, lambda tables: "studies" in tables)  # Optuna creates it first
