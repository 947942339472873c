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


class OfEither:
    """A Python function of tensors, or of arrays: the first call finds out which.

    A function that fails on a tensor, or does not answer with one, gets arrays. It is then outside of autograd.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self._chosen: Callable[[Tensor], Any] | None = None

    def __call__(self, x: Tensor) -> Any:
        """Answers ``(N,)`` or ``(N, O)`` for rows ``(N, D)``; raises what the function raises."""
        return self._first(x) if self._chosen is None else self._chosen(x)

    def _first(self, x: Tensor) -> Any:
        failure, answer = None, None
        try:  # with a gradient, because NumPy's functions take tensors that need none
            with torch.enable_grad():
                answer = self.function(x.detach().requires_grad_())
        except Exception as error:
            failure = error
        if isinstance(answer, Tensor):
            self._chosen = self.function
            return answer if torch.is_grad_enabled() and x.requires_grad else answer.detach()
        arrays = from_numpy(self.function)
        try:
            found = arrays(x)
        except Exception as error:
            raise failure or error from None
        self._chosen = arrays
        return found


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
