"""A student as an MLflow logged model of its run: what *Register model* in MLflow's pages and ``register`` make versions of.

A model is made once for a run, and completed when its certificate comes later. MLflow's fluent API, which belongs to the user's
code, is not used.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from dfkd_tune.errors import DfkdError, TrackingError
from dfkd_tune.export.student_files import read_student
from dfkd_tune.locations.paths import absolute
from dfkd_tune.registry import model_files
from dfkd_tune.registry.certificate_files import FOLDER, HTML, JSON, is_certified
from dfkd_tune.registry.versions import READY, find_model, is_typed, lacks, models_of
from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.bank_datasets import bank_datasets, bank_of, inputs_of
from dfkd_tune.tracking.connection import guarded, line, open_client, quiet, single_attempt
from dfkd_tune.tracking.run_lookup import fetch, find_run, parent_of, trial_of
from dfkd_tune.training import metrics as metric

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Dataset, LoggedModel, Run

LOG = logging.getLogger(__name__)
FILES = {"data/model.pt2": ".pt2", f"{FOLDER}/{HTML}": "-certificate.html"}
"""Files of a model that stand for it elsewhere, and their suffixes there."""
TYPED = "-typed-columns"
"""End of the name of a model whose signature declares columns with types."""
ABANDONED_S = 600
"""Seconds after which a model whose files were never finished counts as left by a dead process."""


def log_model(
    client: MlflowClient,
    uri: str,
    run: Run,
    student: nn.Module,
    result: dict[str, Any],
    study: str,
    typed: bool = False,
) -> LoggedModel:
    """The student of a run as a logged model, with its certificate and metrics. Repeating it adds what any model of the run lacks.

    Args:
        client: client of the MLflow store.
        uri: MLflow tracking URI.
        run: the finished run that holds the student.
        student, result: its network and ``result.json``.
        study: name of the study.
        typed: whether its signature declares columns with types; such a model stands beside the other.

    Raises:
        NotFound: if the certificate of the run cannot be read.
    """
    parent, certified = parent_of(client, run.info.experiment_id), is_certified(uri, run)
    complete = [each for each in models_of(client, run) if each.status == READY]
    for each in complete if certified else ():
        if not _has_certificate(client, each):
            with fetch(uri, run.info.run_id, FOLDER) as held:
                client.log_model_artifacts(each.model_id, str(held), FOLDER)
    logged = next((each for each in complete if is_typed(each) == typed), None)
    if logged is None:
        logged = _make(client, uri, run, student, result, study, certified, typed)
        complete.append(logged)
    banks = bank_datasets(parent, result)
    for each in complete:
        _log_metrics(client, run, each, banks)
    return logged


def log_leaders(uri: str, study: str, names: Iterable[str]) -> tuple[str, ...]:
    """Log the students of some runs as models. A failure is only logged, because the study itself is complete.

    Args:
        uri: MLflow tracking URI.
        study: name of the study.
        names: names of the runs.

    Returns:
        names of the runs that lacked a model before.
    """
    from mlflow.exceptions import MlflowException

    new, uri = [], absolute(uri)
    for name in dict.fromkeys(names):
        try:
            with single_attempt(uri), guarded(uri), quiet():
                client = open_client(uri)
                run = find_run(uri, study, name=name)
                lacking = lacks(client, run)
                if lacking:
                    new.append(name)
                elif not is_certified(uri, run):
                    continue
                with fetch(uri, run.info.run_id) as folder:
                    student, result = read_student(folder, run.data.tags.get(tag.STUDENT_SHA256))
                for typed in lacking or (False,):
                    log_model(client, uri, run, student, result, study, typed)
        except (MlflowException, DfkdError, OSError) as error:
            LOG.warning("the student of run %s is no logged model yet: %s", name, line(error))
    return tuple(new)


def fetch_files(uri: str, study: str, name: str, folder: Path) -> dict[str, Path]:
    """Download the ``FILES`` of a run's model that are there into a folder; by their paths in the model.

    Raises:
        NotFound: if there is no such run.
        TrackingError: if MLflow cannot be read.
    """
    from mlflow.artifacts import download_artifacts

    uri = absolute(uri)
    with single_attempt(uri), guarded(uri), quiet():
        client = open_client(uri)
        logged = find_model(client, find_run(uri, study, name=name))
        if logged is None:
            return {}
        there = [
            path
            for path in FILES
            if any(
                held.path == path
                for held in client.list_logged_model_artifacts(logged.model_id, Path(path).parent.as_posix())
            )
        ]
        return {
            path: Path(download_artifacts(f"{logged.artifact_location}/{path}", dst_path=str(folder), tracking_uri=uri))
            for path in there
        }


def _make(
    client: MlflowClient,
    uri: str,
    run: Run,
    student: nn.Module,
    result: dict[str, Any],
    study: str,
    certified: bool,
    typed: bool,
) -> LoggedModel:
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    _drop_abandoned(client, run)
    run_id, number = run.info.run_id, trial_of(run)
    about = {tag.NOTE: model_files.note(result, typed), tag.STUDY: study, tag.KIND: run.data.tags.get(tag.KIND, "")}
    about |= {tag.TIER: result["tier"], tag.COLUMNS: model_files.column_names(result)}
    about |= {} if number is None else {tag.TRIAL: str(number)}
    about |= {tag.TYPED_COLUMNS: "true"} if typed else {}
    logged = client.create_logged_model(
        run.info.experiment_id,
        run.data.tags[tag.RUN] + TYPED * typed,
        run_id,
        tags=about,
        params=run.data.params,
        model_type="regressor",
    )
    with tempfile.TemporaryDirectory() as folder:
        model = Model(artifact_path=logged.artifact_location, run_id=run_id, model_id=logged.model_id)
        model_files.save(Path(folder, "model"), student, result, model, typed)
        if certified:
            with fetch(uri, run_id, FOLDER) as held:
                shutil.copytree(held, f"{folder}/model/{FOLDER}")
        client.log_model_artifacts(logged.model_id, f"{folder}/model")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return client.finalize_logged_model(logged.model_id, READY)


def _drop_abandoned(client: MlflowClient, run: Run) -> None:
    """Delete the models of a run that a process began and never finished."""
    before = int(time.time() - ABANDONED_S) * 1000
    for left in models_of(client, run):
        if left.status == "PENDING" and left.creation_timestamp < before:
            client.delete_logged_model(left.model_id)


def _has_certificate(client: MlflowClient, logged: LoggedModel) -> bool:
    held = client.list_logged_model_artifacts(logged.model_id, FOLDER)
    return any(Path(file.path).name == JSON for file in held)


def _log_metrics(client: MlflowClient, run: Run, logged: LoggedModel, banks: Mapping[str, Dataset]) -> None:
    """Link the run's metrics to the model, and to the bank that each is measured on."""
    from mlflow.entities import Metric

    if run.info.end_time is None:
        raise TrackingError(f"run {run.info.run_id}", "has not ended", remedy="wait until it has")
    known = {each.key for each in logged.metrics or ()}
    summary = {
        name: value
        for name, value in run.data.metrics.items()
        if not name.startswith(metric.CURVE) and name not in known
    }
    if not summary:
        return
    used = {name: bank for name, bank in banks.items() if name in {bank_of(each) for each in summary}}
    if used:
        client.log_inputs(run.info.run_id, inputs_of(used))
    points = []
    for name, value in summary.items():
        bank = banks.get(bank_of(name) or "")
        place = {} if bank is None else {"dataset_name": bank.name, "dataset_digest": bank.digest}
        points.append(
            Metric(name, value, run.info.end_time, 0, model_id=logged.model_id, run_id=run.info.run_id, **place)
        )
    client.log_batch(run.info.run_id, points)
