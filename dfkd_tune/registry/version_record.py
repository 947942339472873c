"""What a registered version says of its student, and the links between version, run and study.

``register`` writes this for its version. For a version that was made in MLflow's pages, ``sync`` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dfkd_tune.registry import model_files
from dfkd_tune.registry.certificate_files import FOLDER, HTML
from dfkd_tune.registry.versions import READY, made_of, made_of_runs, models_of, origin
from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.run_lookup import parent_of, trial_of
from dfkd_tune.training.rmse_words import gap_in_words, of_outputs, outputs_in_words, rmse_in_words
from dfkd_tune.utils.text.markdown import escaped, with_section

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion

REGISTERED = "Registered"
"""Title of the section of a note that lists registered versions."""
VERSIONS = "mlflow.modelVersions"
"""MLflow's tag of a logged model for the versions that were made of it."""
MOST_LINKS = 20
"""Largest number of versions in such a section."""


@dataclass(frozen=True)
class Figures:
    """The main figures of a certificate; None without a certificate.

    Args:
        report_rmse: RMSE on the report bank, over all outputs, in the teacher's units.
        worst_gap, worst_gap_output, worst_gap_relative: largest gap found in the units of one output, the name of that output, and
            the gap over the standard deviation of that output.
        report_rmse_words, worst_gap_words: both in words.
        outputs_words: RMSE of each output; None of one output.
    """

    report_rmse: float | None = None
    worst_gap: float | None = None
    worst_gap_output: str | None = None
    worst_gap_relative: float | None = None
    report_rmse_words: str | None = None
    worst_gap_words: str | None = None
    outputs_words: str | None = None


def figures(certificate: Mapping[str, Any] | None) -> Figures:
    """The main figures of a certificate, which may be missing."""
    if certificate is None:
        return Figures()
    bank, gap, outputs = certificate["report"], certificate["worst"], certificate["teacher"]["outputs"]
    return Figures(
        bank["rmse"],
        gap["gap"],
        gap["output_name"],
        gap["relative_gap"],
        rmse_in_words(bank["rmse"], bank["relative_rmse"], outputs),
        gap_in_words(gap["gap"], gap["relative_gap"], gap["output_name"], outputs),
        outputs_in_words(several) if (several := of_outputs(certificate)) else None,
    )


def existing_version(client: MlflowClient, model: str, logged: LoggedModel) -> ModelVersion | None:
    """The latest version of a model that was made of a logged model, in MLflow's pages too; None if there is none."""
    found = client.search_model_versions(f"name = '{model}' and run_id = '{logged.source_run_id}'")
    ready = [version for version in found if version.status == READY and made_of(version, logged)]
    return max(ready, key=lambda version: int(version.version), default=None)


def describe_version(
    client: MlflowClient,
    version: ModelVersion,
    study: str,
    run: Run,
    result: Mapping[str, Any],
    found: Figures,
    typed: bool = False,
) -> None:
    """Write tags and description of a version: figures of its student, columns, links to its run and study.

    Args:
        client: client of the MLflow store.
        version: the version.
        study: name of the study.
        run, result: run of its student, and its ``result.json``.
        found: figures of its certificate.
        typed: whether its signature declares columns with types.
    """
    parent, number = parent_of(client, run.info.experiment_id), trial_of(run)
    tags = {
        tag.STUDY: study,
        tag.TRIAL: number,
        tag.RUN: run.data.tags[tag.RUN],
        tag.STUDY_RUN: parent.info.run_id if parent else None,
        tag.TIER: result["tier"],
        tag.COLUMNS: model_files.column_names(dict(result)),
        tag.TYPED_COLUMNS: "true" if typed else None,
        tag.RMSE: result["rmse"],
        tag.REPORT_RMSE: found.report_rmse,
        tag.WORST_GAP: found.worst_gap,
        tag.WORST_GAP_OUTPUT: found.worst_gap_output,
    }
    for key, value in tags.items():
        if value is not None and version.tags.get(key) != str(value):
            client.set_model_version_tag(version.name, version.version, key, str(value))
    told = _description(study, run, parent, result, found)
    told += f"\n\n{model_files.note(dict(result), typed)}"
    client.update_model_version(version.name, version.version, told)


def link_back(client: MlflowClient, run: Run) -> None:
    """Link a run, its logged models and the parent run of its study to the registered versions, by tags and notes."""
    experiment, own = run.info.experiment_id, made_of_runs(client, [run.info.run_id])
    for logged in models_of(client, run):
        _name_on_model(client, logged, own)
    holders = {run.info.run_id: own}
    if (parent := parent_of(client, experiment)) is not None:
        others = client.search_runs([experiment], f"tags.`{tag.REGISTERED}` != ''")
        holders[parent.info.run_id] = made_of_runs(client, [run.info.run_id, *(each.info.run_id for each in others)])
    for holder, versions in holders.items():
        shown = [f"{each.name} version {each.version}" for each in versions]
        lines = [
            f"- [{escaped(text)}](#/models/{quote(each.name, safe='')}/versions/{each.version})"
            for text, each in zip(shown, versions, strict=True)
        ]
        before = client.get_run(holder).data.tags
        note = with_section(before.get(tag.NOTE, ""), REGISTERED, lines[-MOST_LINKS:])
        for key, value in ((tag.REGISTERED, ", ".join(shown)[-5000:]), (tag.NOTE, note)):
            if before.get(key) != value:
                client.set_tag(holder, key, value)


def _name_on_model(client: MlflowClient, logged: LoggedModel, versions: Sequence[ModelVersion]) -> None:
    """Name the versions on the logged model that they were made of, as MLflow's server does."""
    known = json.loads(logged.tags.get(VERSIONS, "[]"))
    there = {(each["name"], int(each["version"])) for each in known}
    new = [
        {"name": each.name, "version": each.version}
        for each in versions
        if each.source == f"models:/{logged.model_id}" and (each.name, int(each.version)) not in there
    ]
    if new:
        client.set_logged_model_tags(logged.model_id, {VERSIONS: json.dumps(known + new)})


def _description(study: str, run: Run, parent: Run | None, result: Mapping[str, Any], found: Figures) -> str:
    """The description of a model version up to its columns, in Markdown."""
    experiment = f"#/experiments/{run.info.experiment_id}"
    place = f"{experiment}/runs/{parent.info.run_id}" if parent else None
    told = (
        f"Student of {origin(study, place)}, run [{escaped(run.info.run_name)}]({experiment}/runs/{run.info.run_id}): "
    )
    told += f"{result['parameters']:,} parameters, RMSE to the teacher {result['rmse']:.4g} on the selection bank"
    if found.report_rmse_words is None:
        told += f". Inputs known at tier {escaped(result['tier'])}. It has no certificate."
    else:
        told += (
            f", {found.report_rmse_words}, on the report bank; worst gap found {found.worst_gap_words}. "
            + (f"By output: {escaped(found.outputs_words)}. " if found.outputs_words else "")
            + f"Inputs known at tier {escaped(result['tier'])}; `{FOLDER}/{HTML}` says what that can promise."
        )
    return told
