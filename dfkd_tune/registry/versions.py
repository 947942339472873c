"""Find the logged model of a run, and the registered versions that were made from a study, by ``register`` or in MLflow's pages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.connection import guarded, open_client
from dfkd_tune.tracking.experiment_upkeep import models_in
from dfkd_tune.tracking.run_lookup import find_run
from dfkd_tune.utils.text.markdown import escaped

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion

READY = "READY"
"""MLflow's status of a logged model that is complete with its files, and of a version."""


def find_model(client: MlflowClient, run: Run, typed: bool = False) -> LoggedModel | None:
    """The logged model of a run, complete with its files; None if there is none.

    Args:
        client: client of the MLflow store.
        run: the run.
        typed: whether it is the model whose signature declares columns with types, which a run may have beside the other.
    """
    found = models_of(client, run)
    return next((each for each in found if each.status == READY and is_typed(each) == typed), None)


def lacks(client: MlflowClient, run: Run) -> list[bool]:
    """The logged models that a run lacks, each by whether it declares columns with types; such a one only if it was begun."""
    found = models_of(client, run)
    complete = {is_typed(each) for each in found if each.status == READY}
    return sorted({False, *map(is_typed, found)} - complete)


def is_typed(made: LoggedModel | ModelVersion) -> bool:
    """Whether the signature of a model that takes tables declares their columns with types."""
    return tag.TYPED_COLUMNS in made.tags


def made_of(version: ModelVersion, logged: LoggedModel) -> bool:
    """Whether a version was made of a logged model."""
    return version.source in _places(logged)


def models_of(client: MlflowClient, run: Run) -> list[LoggedModel]:
    """All logged models that were begun for a run's student; they have the name that the run had then.

    A model with the name of a folder of the run, such as ``student``, would be listed and downloaded together with that folder.
    """
    found = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
    return [each for each in found if tag.STUDY in each.tags]


def without_model(uri: str, study: str, names: Iterable[str]) -> list[str]:
    """Those of a study's runs, by name, that lack a logged model."""
    client = open_client(uri)
    return [name for name in names if lacks(client, find_run(uri, study, name=name))]


def made_from(uri: str, study: str) -> list[str]:
    """The versions that were made from a study, as ``MODEL version N``."""
    with guarded(uri):
        return [f"{found.name} version {found.version}" for found in versions_of(open_client(uri), study)]


def origin(study: str, place: str | None) -> str:
    """How the description of a version names its study, in Markdown: as a link to a page, if there is one."""
    return f"study **{escaped(study)}**" if place is None else f"study [{escaped(study)}]({place})"


def rename_study(uri: str, old: str, new: str) -> None:
    """Rename the study in the tags and the descriptions of the versions that were made from it."""
    with guarded(uri):
        client = open_client(uri)
        for found in [each for each in _all(client) if each.tags.get(tag.STUDY) == old]:
            told = found.description or ""
            for place in (None, *re.findall(r"\]\((#/experiments/\w+/runs/\w+)\)", told)):
                told = told.replace(origin(old, place), origin(new, place))
            client.update_model_version(found.name, found.version, told)
            client.set_model_version_tag(
                found.name, found.version, tag.STUDY, new
            )  # last, because it finds the version


def versions_of(client: MlflowClient, study: str) -> list[ModelVersion]:
    """The versions of a study's students, by their tags or by the logged models that they were made of."""
    experiment = client.get_experiment_by_name(study)
    held = models_in(client, experiment.experiment_id) if experiment is not None else ()
    models = {place for each in held for place in _places(each)}
    return [each for each in _all(client) if each.tags.get(tag.STUDY) == study or each.source in models]


def undescribed(client: MlflowClient, study: str) -> list[ModelVersion]:
    """The versions of a study's students without the tags that ``register`` writes."""
    return [each for each in versions_of(client, study) if tag.RMSE not in each.tags and each.run_id]


def made_of_runs(client: MlflowClient, run_ids: Iterable[str]) -> list[ModelVersion]:
    """The versions that were made of some runs, by name and number."""
    wanted = sorted(set(run_ids))
    listed = ", ".join(f"'{run_id}'" for run_id in wanted)
    found = client.search_model_versions(f"run_id IN ({listed})", max_results=200) if wanted else []
    return sorted(found, key=lambda each: (each.name, int(each.version)))


def _places(logged: LoggedModel) -> tuple[str, str]:
    """The sources that a version of a logged model may name."""
    return f"models:/{logged.model_id}", logged.artifact_location


def _all(client: MlflowClient) -> list[ModelVersion]:
    found, token = [], None
    while True:
        page = client.search_model_versions(max_results=200, page_token=token)
        found += page
        token = page.token
        if not token:
            return found
