"""Teachers without input gradients: scikit-learn estimators, and any function of NumPy arrays."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dfkd_tune.errors import TeacherError
from dfkd_tune.teachers.base import Teacher


def from_numpy(function: Callable[[np.ndarray], Any]) -> Callable[[Tensor], Tensor]:
    """Wrap a function of arrays ``(N, D)`` as a function of tensors, outside of autograd."""

    def answer(x: Tensor) -> Tensor:
        return torch.from_numpy(np.array(function(x.detach().cpu().numpy()), copy=True)).to(x.device)

    return answer


def from_estimator(source: object, estimator: Any, sha256: str) -> Teacher:
    """Make a teacher of a fitted scikit-learn regressor, or of any object with a compatible ``predict``.

    Raises:
        TeacherError: the estimator has no ``predict``, or predicts classes.
    """
    from sklearn.base import is_classifier

    if not callable(getattr(estimator, "predict", None)):
        raise TeacherError(
            source, f"holds a {type(estimator).__name__}, which has no predict", remedy="save a fitted regressor"
        )
    if is_classifier(estimator):
        rule = f"holds a {type(estimator).__name__}, which answers classes, not numbers"
        raise TeacherError(
            source, rule, remedy="make a Python function of its predict_proba the teacher: --teacher MODULE:FUNCTION"
        )
    width = getattr(estimator, "n_features_in_", None)

    def predict(x: np.ndarray) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # fitted with feature names, called without
            return estimator.predict(x)

    return Teacher(str(source), from_numpy(predict), torch.float64, sha256, width=width, estimator=estimator)


def missing(path: Path, package: str, extra: str) -> TeacherError:
    """The error that names the extra to install for a file format."""
    return TeacherError(path, f"needs {package}", remedy=f"pip install 'dfkd-tune[{extra}]'")
