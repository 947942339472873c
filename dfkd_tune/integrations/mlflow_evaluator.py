"""Fidelity to the teacher in ``mlflow.models.evaluate``: the entry point ``dfkd_fidelity`` of the group ``mlflow.model_evaluator``."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from os import fspath
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import torch
from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.models import EvaluationResult
from mlflow.models.evaluation import ModelEvaluator
from mlflow.pyfunc import PyFuncModel

from dfkd_tune.api.error_words import in_python
from dfkd_tune.errors import DfkdError, ExportError, SpecError
from dfkd_tune.registry.certificates import load_sources
from dfkd_tune.registry.sources import Sources
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.run_lookup import parent_of
from dfkd_tune.training.raw_evaluation import CHUNK_ROWS
from dfkd_tune.utils.given.checks import FLAG, PATH, TEXT
from dfkd_tune.utils.quoting import quoted

if TYPE_CHECKING:
    from mlflow.data.evaluation_dataset import EvaluationDataset

LOG = logging.getLogger(__name__)
NAME = "dfkd_fidelity"
"""Name of the evaluator."""
GROUP = "fidelity/"
"""Group of its metrics."""
RMSE, NRMSE, R2, WORST_GAP = f"{GROUP}rmse", f"{GROUP}nrmse", f"{GROUP}r2", f"{GROUP}worst_gap"
"""RMSE between model and teacher, the same over the teacher's standard deviation, its R2, and the largest gap."""
TEACHER = "teacher_sha256"
"""Entry of a model's metadata: hash of the teacher that the student was distilled from."""
PLACES = ("teacher", "architecture", "features")
OPTIONS = {**dict.fromkeys(PLACES, PATH), "trust_pickle": FLAG, "metric_prefix": TEXT}
"""Keys of ``evaluator_config``, and what each may be."""


class FidelityEvaluator(ModelEvaluator):
    """Compares a registered student with its teacher, on the rows that are evaluated. Targets are not needed.

        mlflow.models.evaluate("models:/pump@champion", table, targets="y", model_type="regressor")

    The teacher is the one that the model's study recorded, and must have its hash. ``evaluator_config`` takes the current paths
    ``teacher``, ``architecture`` and ``features``, and ``trust_pickle``. Models that dfkd-tune did not make are left alone.
    """

    @classmethod
    def can_evaluate(cls, *, model_type: str | None, evaluator_config: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        """Whether the model may be a regressor; MLflow asks before it knows the model. The type ``dfkd_fidelity`` needs no targets."""
        return model_type in (None, "regressor", NAME)

    def evaluate(  # pyright: ignore[reportIncompatibleMethodOverride]  # MLflow's base says no return type
        self,
        *,
        model_type: str | None,
        dataset: EvaluationDataset,
        run_id: str,
        evaluator_config: Mapping[str, Any] | None,
        model: Any = None,
        model_id: str | None = None,
        **kwargs: Any,
    ) -> EvaluationResult | None:
        """Log the metrics to the run, linked to model and dataset, and return them.

        Without options of its own, a teacher that cannot be had is only a warning, as MLflow calls every evaluator that is installed.

        Raises:
            MlflowException: the teacher cannot be had or is another, or an output is not finite.
        """
        about = model.metadata.metadata if isinstance(model, PyFuncModel) else None
        if about is None or TEACHER not in about:
            return None
        config = dict(evaluator_config or {})
        own = config.keys() - {"metric_prefix"}
        asked = any(
            get_close_matches(str(key), OPTIONS) for key in own
        )  # MLflow hands one configuration to all evaluators
        try:
            with in_python():
                found = fidelity(*self._answers(model, about, dataset.features_data, config))
        except DfkdError as error:
            if asked:
                raise MlflowException.invalid_parameter_value(f"{NAME}: {error}") from None
            LOG.warning("%s: no fidelity to the teacher: %s", NAME, error)
            return None
        prefix, at = config.get("metric_prefix") or "", int(time.time() * 1000)
        metrics = {f"{prefix}{name}": value for name, value in found.items()}
        place = {"model_id": model_id or model.model_id, "dataset_name": dataset.name, "dataset_digest": dataset.digest}
        points = [Metric(name, value, at, 0, run_id=run_id, **place) for name, value in metrics.items()]
        MlflowClient().log_batch(run_id, points)
        return EvaluationResult(metrics=metrics, artifacts={}, run_id=run_id)

    def _answers(
        self, model: PyFuncModel, about: Mapping[str, Any], table: Any, config: Mapping[str, Any]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Outputs of teacher and model, ``(N, O)`` each, float64."""
        for key in config.keys() - OPTIONS.keys():  # misspelled; others are of other evaluators
            if get_close_matches(str(key), OPTIONS):
                raise SpecError(f"evaluator_config of {NAME}", f"has no {key!r}", remedy=", ".join(OPTIONS))
        for name, kind in OPTIONS.items():
            if (value := config.get(name)) is not None and not kind.fits(value):
                place, rule = f"evaluator_config of {NAME}: {name}", f"must be {kind.words}, got {quoted(value)}"
                raise SpecError(place, rule, remedy="correct it, or leave it out")
        student = model.unwrap_python_model()
        if not hasattr(student, "rows"):
            raise SpecError("the model", "takes tensors, not a table", remedy="use its certificate")
        teacher = teacher_of(model, about, config)
        table = as_table(table)
        rows = torch.from_numpy(student.rows(table))
        with torch.no_grad():
            theirs = torch.cat([teacher(part) for part in rows.split(CHUNK_ROWS)]).double().numpy()
        # The student itself, because MLflow refuses whole numbers where a signature declares doubles.
        ours = np.asarray(student.predict(None, table), dtype=np.float64)
        return theirs.reshape(len(rows), -1), ours.reshape(len(rows), -1)


def teacher_of(model: PyFuncModel, about: Mapping[str, Any], config: Mapping[str, Any]) -> Teacher:
    """The teacher of a model, for raw rows ``(N, D)``: from the paths of the options, or as the model's study recorded it.

    Raises:
        NotFound: its place is not on record, or it is not there.
        StudyMismatch: it is another teacher, or the features are others.
        DfkdError: a file is invalid.
    """
    paths = [None if (path := config.get(name)) is None else fspath(path) for name in PLACES]
    sources = Sources(*paths, trust_pickle=bool(config.get("trust_pickle")))
    study = about.get("study") or "of this model"
    tags = {**_recorded(model.metadata.run_id), tag.TEACHER_SHA256: about[TEACHER]}
    teacher, inputs = load_sources(study, tags, sources, "fidelity")
    if inputs.names != about["features"]:
        rule = f"knows {len(inputs.names)} features that are not the model's {len(about['features'])}"
        raise SpecError("the teacher", rule, remedy="give features=PATH")
    return replace(teacher, fast=None)


def _recorded(run_id: str | None) -> dict[str, str]:
    """The tags of the study that a run belongs to; empty if this MLflow does not have it."""
    client = MlflowClient(mlflow.get_tracking_uri())
    try:
        parent = parent_of(client, client.get_run(run_id).info.experiment_id) if run_id else None
    except MlflowException:
        return {}
    return dict(parent.data.tags) if parent is not None else {}


def as_table(given: Any) -> Any:
    """The evaluated features as a data frame, arrays with numbered columns."""
    import pandas as pd

    return given if isinstance(given, pd.DataFrame) else pd.DataFrame(np.asarray(given))


def fidelity(theirs: np.ndarray, ours: np.ndarray) -> dict[str, float]:
    """Metrics of outputs ``(N, O)`` against the teacher's.

    Normalized values are over the teacher's standard deviation on these rows, of each output, and are left out if an output
    does not vary. Gap and RMSE are in the teacher's units; with several outputs, each also has its own gap and RMSE, in
    its units, and its normalized RMSE.

    Raises:
        ExportError: an output is not finite.
    """
    gaps = ours - theirs
    if not np.isfinite(gaps).all():
        bad = int((~np.isfinite(gaps)).any(1).sum())
        rule = f"model or teacher gives no finite output for {bad} of {len(gaps)} rows"
        raise ExportError("fidelity", rule, remedy="check the units of the table")
    square, spread = np.square(gaps).mean(0), theirs.std(0)
    found = {RMSE: float(np.sqrt(square.mean())), WORST_GAP: float(np.abs(gaps).max())}
    if (spread > 0).all():
        relative = float((square / spread**2).mean())
        found |= {NRMSE: float(np.sqrt(relative)), R2: 1 - relative}
    if len(square) > 1:
        worst = np.abs(gaps).max(0)
        found |= {f"{RMSE}_{i}": float(np.sqrt(value)) for i, value in enumerate(square)}
        found |= {f"{WORST_GAP}_{i}": float(value) for i, value in enumerate(worst)}
        found |= {f"{NRMSE}_{i}": float(np.sqrt(square[i]) / spread[i]) for i in np.flatnonzero(spread > 0)}
    return found
