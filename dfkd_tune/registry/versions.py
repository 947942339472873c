"""The registered versions that were made from a study."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.connection import client, guarded
from dfkd_tune.utils.markdown import escaped

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


def made_from(uri: str, study: str) -> list[str]:
    """The versions that were made from a study, as ``MODEL version N``."""
    with guarded(uri):
        return [f"{found.name} version {found.version}" for found in _versions(client(uri), study)]


def origin(study: str) -> str:
    """How the description of a version names its study, in Markdown."""
    return f"study **{escaped(study)}**"


def rename_study(uri: str, old: str, new: str) -> None:
    """Rename the study in the tags and the descriptions of the versions that were made from it."""
    with guarded(uri):
        made = client(uri)
        for found in _versions(made, old):
            told = (found.description or "").replace(origin(old), origin(new))
            made.update_model_version(found.name, found.version, told)
            made.set_model_version_tag(found.name, found.version, tag.STUDY, new)  # last, because it finds the version


def _versions(made: MlflowClient, study: str) -> list[ModelVersion]:
    found, token = [], None
    while True:
        page = made.search_model_versions(max_results=200, page_token=token)
        found += [version for version in page if version.tags.get(tag.STUDY) == study]
        token = page.token
        if not token:
            return found
