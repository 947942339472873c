"""Register the student of a trial: find its run, certify it, register a version, and check the version before moving the alias.

PyTorch and MLflow are imported after the names were checked, and the study and its trial were found.
"""

from __future__ import annotations

import json
import logging
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfkd_tune.errors import ExportError, NotFound, SpecError, TrackingError
from dfkd_tune.locations.paths import absolute, existing, without_credentials
from dfkd_tune.registry.aliases import point, require_history, require_names
from dfkd_tune.registry.certificate_files import FOLDER, JSON, is_certified
from dfkd_tune.registry.sources import Sources
from dfkd_tune.registry.stored_student import load_trial
from dfkd_tune.tracking.connection import guarded, line, open_client, pointed_at, preflight, quiet, single_attempt
from dfkd_tune.tracking.run_lookup import fetch, find_run, parent_of, require_study, shortened, trial_of

if TYPE_CHECKING:
    import numpy as np
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from torch import nn

    from dfkd_tune.training.problem import Problem
    from dfkd_tune.training.raw_evaluation import RawEvaluator

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Registered:
    """A registered student.

    Args:
        uri: ``models:/NAME@ALIAS``.
        version: version of the model.
        trial, run_id: trial and run of the student; trial is None for the untuned baseline.
        rmse: RMSE of the trial on the selection bank.
        worst: largest difference between outputs of the reloaded model and the student, in the teacher's units.
        report_rmse: RMSE of its certificate over all outputs, in the teacher's units; this and all below None for a run outside of a
            study, because its banks are not recorded.
        worst_gap: largest gap of its certificate, in the units of the output ``worst_gap_output``.
        worst_gap_output: name of that output, or its index where the teacher tells no names.
        worst_gap_relative: the same gap over the standard deviation of that output of the teacher.
        report_rmse_words, worst_gap_words: both with their size over the standard deviation of the teacher's outputs, and which
            output the worst gap is of.
        outputs_words: RMSE of each output on the report bank; None of one output.
        shortened: steps that it trained, and those of its study's finished students, if it trained fewer as trials may; None otherwise.
    """

    uri: str
    version: int
    trial: int | None
    run_id: str
    rmse: float
    worst: float
    report_rmse: float | None = None
    worst_gap: float | None = None
    worst_gap_output: str | None = None
    worst_gap_relative: float | None = None
    report_rmse_words: str | None = None
    worst_gap_words: str | None = None
    outputs_words: str | None = None
    shortened: tuple[int, int] | None = None


def certified(
    uri: str, study: str, run: Run, problem: Callable[[], Problem], size: str | None = None
) -> dict[str, Any]:
    """The certificate of a trial's run. If there is none, make it and log it to the run as artifacts and metrics.

    Args:
        uri: MLflow tracking URI.
        study: name of the study.
        run: the run, from ``find_run``.
        problem: returns the study's problem; called only if the certificate is missing.
        size: why the student has its size, if its study looked for the smallest one.

    Raises:
        NotFound: if the run has no student.
        ExportError: if the certificate cannot be made or read.
        TrackingError: if MLflow rejected it.
    """
    from mlflow.entities import Metric
    from mlflow.exceptions import MlflowException

    client, run_id = open_client(uri), run.info.run_id
    if is_certified(uri, run):
        with fetch(uri, run_id, FOLDER) as folder:
            try:
                return json.loads((folder / JSON).read_text(encoding="utf-8"))
            except ValueError as error:
                raise ExportError(f"run {run_id}", f"its {JSON} is damaged: {error}") from None
    from dfkd_tune.registry import certificates

    with fetch(uri, run_id) as folder:
        about = {"study": study, "trial": trial_of(run), "run_id": run_id} | ({} if size is None else {"size": size})
        certificate = certificates.issue(problem(), folder, about)
    at = run.info.end_time or int(time.time() * 1000)  # of all metrics of the student, so that a repetition adds none
    try:
        with tempfile.TemporaryDirectory() as name:
            certificates.write(certificate, Path(name))
            client.log_artifacts(run_id, name, FOLDER)
        client.log_batch(run_id, [Metric(key, value, at, 0) for key, value in certificate.metrics().items()])
    except MlflowException as error:
        reason = without_credentials(str(error).splitlines()[0])
        raise TrackingError(without_credentials(uri), f"refused a certificate: {reason}") from None
    return certificate.as_dict()


def certify_run(uri: str, study: str, name: str, problem: Problem, size: str | None = None) -> dict[str, Any] | None:
    """Certify the run that a study promotes. A failure is only logged, because the study itself is complete."""
    uri = absolute(uri)
    try:
        with single_attempt(uri), guarded(uri):
            return certified(uri, study, find_run(uri, study, name=name), lambda: problem, size)
    except (NotFound, ExportError, TrackingError) as error:
        LOG.warning("run %s has no certificate yet: %s", name, error)
        return None


def evaluator_of(uri: str, study: str, run: Run, sources: Sources, purpose: str = "an export") -> RawEvaluator:
    """Rebuild the evaluator of a trial's study, that is its teacher and banks; errors are those of ``problem_of``.

    Args:
        uri, study, run, sources: as in ``problem_of``.
        purpose: what needs it, for error messages.
    """
    from dfkd_tune.registry import certificates

    parent = _study_of(uri, run)
    return certificates.rebuild_evaluator(study, parent.data.params, parent.data.tags, sources, purpose)


def problem_of(uri: str, study: str, run: Run, sources: Sources) -> Problem:
    """Rebuild the problem of a trial's study.

    Raises:
        NotFound: if the run belongs to no study, or a file of the study is missing.
        StudyMismatch: if a file differs from the recorded one.
    """
    from dfkd_tune.registry import certificates

    parent = _study_of(uri, run)
    return certificates.rebuild_problem(study, parent.data.params, parent.data.tags, sources)


def _study_of(uri: str, run: Run) -> Run:
    """The parent run of a trial's study."""
    parent = parent_of(open_client(uri), run.info.experiment_id)
    if parent is None:
        raise NotFound(
            f"run {run.info.run_id}",
            "is no trial of a study, so its teacher is not on record",
            remedy="name a trial of a study",
        )
    return parent


def register(
    uri: str,
    study: str,
    model: str,
    trial: int | None = None,
    alias: str = "champion",
    sources: Sources | None = None,
    within: float | None = None,
    typed_columns: bool = False,
) -> Registered:
    """Register a trial's student, with its certificate, as a version of ``model`` and point ``alias`` at it.

    Arguments and errors are those of the public function (``api.functions``), which checks the kinds of its arguments.
    """
    require_names(model, alias)
    uri = absolute(uri)
    preflight(existing(uri, f"study {study!r}"))
    require_study(uri, study, trial)
    client = open_client(uri)
    require_history(client, model, alias)
    student, result, run = load_trial(uri, study, trial, within)
    if typed_columns and "layout" in result:
        rule = "is for teachers that take tables, and a student of this one declares its arguments anyway"
        raise SpecError("--typed-columns", rule, remedy="leave it out")
    from dfkd_tune.export.schema import InputSchema
    from dfkd_tune.registry import certificates
    from dfkd_tune.registry.logged_models import log_model
    from dfkd_tune.registry.version_record import describe_version, existing_version, figures, link_back

    certificate = None
    if (parent := parent_of(client, run.info.experiment_id)) is not None:
        on_record = parent.data.params, parent.data.tags
        certificate = certified(
            uri, study, run, lambda: certificates.rebuild_problem(study, *on_record, sources or Sources())
        )
        run = client.get_run(run.info.run_id)
    units = InputSchema.of(result)
    x = units.rows.numpy()
    with quiet():
        logged = log_model(client, uri, run, student, result, study, typed_columns)
        known = version = existing_version(client, model, logged)
        if version is None:
            with pointed_at(uri):
                version = client.create_model_version(
                    _registered(client, model),
                    f"models:/{logged.model_id}",
                    run.info.run_id,
                    model_id=logged.model_id,
                )
        worst, wrong = _difference(uri, logged, student, x, result, typed_columns)
    if wrong is not None:
        place = f"models:/{model}/{version.version}"
        if known is not None:
            raise ExportError(place, wrong, remedy="delete that version in MLflow, then register again")
        client.delete_model_version(model, version.version)
        rule = f"{wrong}, so it was removed again"
        raise ExportError(place, rule, remedy="register another trial with --trial")
    found = figures(certificate)
    describe_version(client, version, study, run, result, found, typed_columns)
    link_back(client, run)
    point(client, model, alias, int(version.version))
    return Registered(
        f"models:/{model}@{alias}",
        int(version.version),
        trial_of(run),
        run.info.run_id,
        float(result["rmse"]),
        worst,
        report_rmse=found.report_rmse,
        worst_gap=found.worst_gap,
        worst_gap_output=found.worst_gap_output,
        worst_gap_relative=found.worst_gap_relative,
        report_rmse_words=found.report_rmse_words,
        worst_gap_words=found.worst_gap_words,
        outputs_words=found.outputs_words,
        shortened=shortened(run, parent),
    )


def _registered(client: MlflowClient, model: str) -> str:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return model


def _difference(
    uri: str, logged: LoggedModel, student: nn.Module, x: np.ndarray, result: dict[str, Any], typed: bool
) -> tuple[float, str | None]:
    """The largest difference between a stored model, called as a user calls it, and the student; and what is wrong, if anything."""
    import numpy as np
    import torch
    from mlflow import pyfunc
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    from dfkd_tune.export.export import allowed, difference
    from dfkd_tune.export.schema import InputSchema
    from dfkd_tune.registry import model_files

    with tempfile.TemporaryDirectory() as folder:
        copy = download_artifacts(artifact_uri=logged.artifact_location, dst_path=folder, tracking_uri=uri)
        try:
            answers = pyfunc.load_model(copy).predict(model_files.request(result, x, typed))
        except MlflowException as error:  # of the model, not of MLflow's store
            return math.nan, f"refuses rows of the student's own prior ({line(error)})"
        answers = np.asarray(answers) if "layout" not in result else model_files.flat_answers(answers)
    with torch.no_grad():
        expected = student(torch.from_numpy(x))
    answers = torch.from_numpy(answers.reshape(expected.shape))
    units = InputSchema.of(result)
    worst, rounded = difference(answers, expected, units.steps(expected), allowed(student, units))
    return worst, None if rounded else f"differs from the student by {worst:g}"
