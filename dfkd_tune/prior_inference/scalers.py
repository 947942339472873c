"""Infer means and standard deviations, ranges or quantiles of features from the scalers that a teacher begins with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np

from dfkd_tune.inputs.prior import InferredPrior, Inputs
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.data_frames import feature_names, places
from dfkd_tune.teachers.signatures.first_steps import first_steps
from dfkd_tune.teachers.table_model import TableModel

DESCRIPTION = "units of features were found from the scalers that the teacher begins with, and what else it says of each by itself"
KNOTS = 99
"""Largest number of quantiles taken from a scaler."""


def infer(teacher: Teacher, inputs: Inputs) -> Inputs | None:
    """Complete undeclared features from scalers; None if no column is scaled first, or behind an imputer.

    Args:
        teacher: the teacher in raw units.
        inputs: the declared inputs.
    """
    if teacher.estimator is None or isinstance(teacher.estimator, TableModel):
        return None
    tellers, told = _tellers(), {}
    own = feature_names(teacher) or inputs.names
    for first in first_steps(teacher.estimator, own):
        tell = tellers.get(type(first.step))
        # An imputer may have put further columns behind those with names.
        told |= dict(zip(first.columns, (tell(first.step) if tell else None) or (), strict=False))
    features = [
        feature if feature.known else replace(feature, **told.get(own[place], {}))
        for feature, place in zip(inputs.features, places(teacher, inputs.names), strict=True)
    ]
    if features == [*inputs.features]:
        return None
    return inputs.replaced(features=features, inferred=InferredPrior(DESCRIPTION, inputs))


def _tellers() -> dict[type, Callable[[Any], list[dict[str, Any]] | None]]:
    """Type of scaler -> function that returns, per feature, the fields of a ``Feature``."""
    from sklearn.preprocessing import MinMaxScaler, QuantileTransformer, RobustScaler, StandardScaler

    return {
        StandardScaler: lambda s: _moments(s.mean_, s.scale_, s.var_),
        MinMaxScaler: lambda s: [_range(*edges) for edges in zip(s.data_min_, s.data_max_, strict=True)],
        RobustScaler: lambda s: _moments(s.center_, _deviations(s)),
        QuantileTransformer: lambda s: [_quantiles(s.references_, column) for column in s.quantiles_.T],
    }


def _moments(centers: Any, scales: Any, variances: Any = None) -> list[dict[str, Any]] | None:
    if centers is None or scales is None:  # the scaler only shifts, or only scales
        return None
    varies = np.ones(len(centers)) if variances is None else variances
    return [
        {"mean": float(center), "std": float(scale)} if variance else _always(center)
        for center, scale, variance in zip(centers, scales, varies, strict=True)
    ]


def _always(value: float) -> dict[str, Any]:
    """A column that was constant, which a scaler divides by 1."""
    return {"levels": [float(value)]}


def _deviations(scaler: Any) -> Any:
    """Standard deviations from the quantile ranges that a ``RobustScaler`` divides by, for normal distributions."""
    if scaler.scale_ is None or scaler.unit_variance:
        return scaler.scale_
    low, high = (NormalDist().inv_cdf(percent / 100) for percent in scaler.quantile_range)
    return scaler.scale_ / (high - low)


def _range(low: float, high: float) -> dict[str, Any]:
    return {"range": [float(low), float(high)]} if low < high else _always(low)


def _quantiles(references: np.ndarray, values: np.ndarray) -> dict[str, Any]:
    p = np.linspace(0, 1, min(KNOTS, len(references)) + 2)[1:-1]
    quantiles = dict(zip(map(float, p), map(float, np.interp(p, references, values)), strict=True))
    return {"quantiles": quantiles} if len(quantiles) > 1 else {}
