"""The banks of a study as MLflow datasets, which metrics are linked to. They have no rows in MLflow: seed and declaration make them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dfkd_tune.tracking import params as param
from dfkd_tune.tracking import tags as tag
from dfkd_tune.training import metrics as metric

if TYPE_CHECKING:
    from mlflow.entities import Dataset, DatasetInput, Run

SELECTION, STRESS, REPORT = "selection", "stress", "report"
METRICS = {
    SELECTION: (metric.RMSE, metric.NRMSE, metric.OUTPUT_RMSE.partition("{")[0]),
    STRESS: (metric.STRESS_RMSE, metric.STRESS_NRMSE),
    REPORT: (metric.CERTIFICATE_RMSE, metric.CERTIFICATE_NRMSE),
}
"""Bank -> metrics that are measured on it; a name that ends in ``_`` stands for all that begin with it."""


def bank_of(name: str) -> str | None:
    """The bank that a metric is measured on; None for a metric of no bank, or of several."""
    for bank, names in METRICS.items():
        if any(name == known or (known.endswith("_") and name.startswith(known)) for known in names):
            return bank
    return None


def bank_datasets(parent: Run | None, result: Mapping[str, Any]) -> dict[str, Dataset]:
    """The banks of a study, by name; none if the study's facts are not on record.

    Args:
        parent: parent run of the study; None for a student of the user's own Optuna study.
        result: ``result.json`` of one of its students.
    """
    from mlflow.entities import Dataset

    params = {} if parent is None else parent.data.params
    if parent is None or param.SEED not in params or _size(REPORT, params) is None:
        return {}
    hashes = {name: parent.data.tags.get(name, "") for name in (tag.FEATURES_SHA256, tag.TEACHER_SHA256)}
    names = (param.SEED, param.BANK, *(param.BANK_ROWS.format(name) for name in METRICS))
    facts = {name: params[name] for name in names if name in params}
    columns = [{"type": "double", "name": name, "required": True} for name in result["features"]]
    made = {}
    for name in METRICS:
        digest = hashlib.sha256(json.dumps([name, facts, hashes], sort_keys=True).encode()).hexdigest()
        drawn = "rows of the declared prior, drawn from the study's seed; outputs of the teacher are the targets"
        source = {"tags": {"drawn": drawn, "study": parent.info.run_name or "", **facts, **hashes}}
        made[name] = Dataset(
            name=f"{name} bank",
            digest=digest[:12],
            source_type="code",
            source=json.dumps(source),
            schema=json.dumps({"mlflow_colspec": columns}) if len(columns) <= 500 else None,
            profile=json.dumps({"num_rows": int(known)}) if (known := _size(name, params)) is not None else None,
        )
    return made


def _size(bank: str, params: Mapping[str, str]) -> str | None:
    """Rows of a bank; None if they are not on record, as those of a stress bank that was attacked are not."""
    return params.get(param.BANK_ROWS.format(bank), None if bank == STRESS else params.get(param.BANK))


def inputs_of(banks: Mapping[str, Dataset]) -> list[DatasetInput]:
    """Banks as inputs of a run; their context is the bank's name."""
    from mlflow.entities import DatasetInput, InputTag

    return [DatasetInput(each, [InputTag("mlflow.data.context", name)]) for name, each in banks.items()]
