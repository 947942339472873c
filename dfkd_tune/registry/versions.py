"""The registered versions that were made from a study."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.connection import client, guarded

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


def made_from(uri: str, study: str) -> list[str]:
    """The versions that were made from a study, as ``MODEL version N``."""
    with guarded(uri):
        return [f"{found.name} version {found.version}" for found in _versions(client(uri), study)]


def rename_study(uri: str, old: str, new: str) -> None:
    """Rename the study on the tags of the versions that were made from it."""
    with guarded(uri):
        made = client(uri)
        for found in _versions(made, old):
            made.set_model_version_tag(found.name, found.version, tag.STUDY, new)


def _versions(made: MlflowClient, study: str) -> list[ModelVersion]:
    found, token = [], None
    while True:
        page = made.search_model_versions(max_results=200, page_token=token)
        found += [version for version in page if version.tags.get(tag.STUDY) == study]
        token = page.token
        if not token:
            return found
