"""Teachers without input gradients: scikit-learn estimators, and any function of NumPy arrays."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dfkd_tune.errors import TeacherError
from dfkd_tune.layouts import nested
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.metering.meter import current_meter


def from_numpy(function: Callable[[np.ndarray], Any]) -> Callable[[Tensor], Tensor]:
    """Wrap a function of arrays ``(N, D)`` as a function of tensors, outside of autograd."""

    def answer(x: Tensor) -> Tensor:
        return torch.from_numpy(np.array(function(x.detach().cpu().numpy()), copy=True)).to(x.device)

    return answer


def as_tensors(returned: Any) -> Any:
    """What a function of arrays returned, with tensors in place of arrays and data frames.

    Raises:
        TypeError: it holds something else than numbers.
    """
    if isinstance(returned, Mapping):
        return {name: as_tensors(part) for name, part in returned.items()}
    if isinstance(returned, tuple):
        return tuple(map(as_tensors, returned))
    array = np.array(returned, copy=True)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"it returned {type(returned).__name__}, which holds no numbers")
    return torch.from_numpy(array)


ARRAYS_ONLY = "Can't call numpy() on Tensor"
"""What PyTorch says where a function makes an array of a tensor: then its failure on arrays is the one to show."""


class OfEither:
    """A Python function of tensors, or of arrays: the first call finds out which.

    A function that fails on tensors, or does not answer with them, gets arrays. It is then outside of autograd. Where its rows are
    counted, finding out costs a row; the meter keeps what was found, so that no other process of a study pays it again.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self._chosen: Callable[..., Any] | None = None
        self._meter = current_meter()

    @property
    def takes_arrays(self) -> bool:
        """Whether the first call, or one in another process of the study, found a function of arrays."""
        if self._chosen is None:
            return self._meter is not None and bool(self._meter.takes_arrays)
        return self._chosen is not self.function

    def __call__(self, *given: Any, **named: Any) -> Any:
        """Answers ``(N,)`` or ``(N, O)`` for rows ``(N, D)``, or what the function does; raises what the function raises."""
        return self._first(given, named) if self._chosen is None else self._chosen(*given, **named)

    def _first(self, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        known = None if self._meter is None else self._meter.takes_arrays
        tensors, failure = self._tried((given, named)) if known is None else (not known, None)
        try:
            found = (self.function if tensors else self._of_arrays)(*given, **named)
        except Exception as error:
            raise error if failure is None or ARRAYS_ONLY in str(failure) else failure from None
        self._chosen = self.function if tensors else self._of_arrays
        if self._meter is not None:
            self._meter.takes_arrays = self.takes_arrays
        return found

    def _tried(self, call: Any) -> tuple[bool, Exception | None]:
        """Whether one row of a call is answered with tensors, and the failure if it is not answered. Each row may have a price."""
        if self._meter is not None:
            self._meter.claim(1)
        try:  # with a gradient, because NumPy's functions take tensors that need none
            with torch.enable_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what a function of arrays says of tensors tells nobody anything
                positional, keywords = _each(call, lambda x: _watched(x[:1]))
                return _of_tensors(self.function(*positional, **keywords)), None
        except Exception as error:
            return False, error

    def _of_arrays(self, *given: Any, **named: Any) -> Any:
        devices = [each.device for each in nested.take((given, named), _is_tensor).leaves]
        positional, keywords = _each((given, named), lambda x: x.detach().cpu().numpy())
        return _each(as_tensors(self.function(*positional, **keywords)), lambda y: y.to(devices[0]))


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def _of_tensors(value: Any) -> bool:
    """Whether a value is a tensor, or holds tensors alone."""
    try:
        return bool(nested.take(value, _is_tensor).leaves)
    except TypeError:
        return False


def _watched(x: Tensor) -> Tensor:
    """The tensor if autograd watches it, so that gradients reach it; else a copy that autograd watches, if it can."""
    return x if x.requires_grad else x.detach().requires_grad_(x.is_floating_point())


def _each(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """A nested value with each of its tensors changed."""
    taken = nested.take(value, _is_tensor)
    return nested.filled(taken.tree, [change(each) for each in taken.leaves])


def from_estimator(source: object, estimator: Any, sha256: str) -> Teacher:
    """Make a teacher of a fitted scikit-learn regressor, or of any object with a compatible ``predict``.

    Raises:
        TeacherError: the estimator has no ``predict``, or predicts classes.
    """
    if not callable(getattr(estimator, "predict", None)):
        raise TeacherError(
            source, f"holds a {type(estimator).__name__}, which has no predict", remedy="save a fitted regressor"
        )
    if _is_classifier(estimator):
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


def _is_classifier(estimator: Any) -> bool:
    """Whether scikit-learn calls it a classifier; an object that only has ``predict`` is none."""
    from sklearn.base import is_classifier

    try:
        return is_classifier(estimator)
    except AttributeError:
        return False


def missing(path: Path, package: str, extra: str) -> TeacherError:
    """The error that names the extra to install for a file format."""
    return TeacherError(path, f"needs {package}", remedy=f"pip install 'dfkd-tune[{extra}]'")
