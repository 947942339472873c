"""Teachers that only answer: scikit-learn estimators and ONNX networks. Their input gradients are unknown."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import TeacherError
from ..imports import one_line
from .base import Teacher, hash_bytes


def from_numpy(function: Callable[[np.ndarray], Any]) -> Callable[[Tensor], Tensor]:
    """A function of arrays ``(N, D)`` as one of tensors, outside of autograd."""

    def answer(x: Tensor) -> Tensor:
        return torch.from_numpy(np.array(function(x.detach().cpu().numpy()), copy=True)).to(x.device)

    return answer


def load_skops(path: Path, architecture: Path | None, trust_pickle: bool) -> Teacher:
    """A ``.skops`` file of a scikit-learn estimator, made of types that skops knows to be safe.

    Raises:
        TeacherError: naming the types that are not, unless ``trust_pickle``.
    """
    try:
        from skops.io import get_untrusted_types, loads
    except ImportError:
        raise _missing(path, "skops", "sklearn") from None
    data = path.read_bytes()
    try:
        unknown = get_untrusted_types(data=data)
        if unknown and not trust_pickle:
            raise TeacherError(
                path,
                f"holds types beyond scikit-learn: {', '.join(unknown)}",
                remedy="--trust-pickle if you trust its author",
            )
        estimator = loads(data, trusted=unknown)
    except TeacherError:
        raise
    except Exception as error:
        raise TeacherError(path, f"not a skops file, or cut short ({one_line(error)})") from None
    return _estimator(path, estimator, data)


def load_joblib(path: Path, architecture: Path | None, trust_pickle: bool) -> Teacher:
    """A pickled scikit-learn estimator; a pickle can run any code.

    Raises:
        TeacherError: unless ``trust_pickle``.
    """
    if not trust_pickle:
        raise TeacherError(
            path,
            "is a pickle, which can run any code",
            remedy="save it with skops, or --trust-pickle if you trust its author",
        )
    try:
        import joblib
    except ImportError:
        raise _missing(path, "joblib", "sklearn") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator = joblib.load(path)
    except Exception as error:
        raise TeacherError(path, f"cannot be unpickled: {type(error).__name__}: {one_line(error)}") from None
    return _estimator(path, estimator, path.read_bytes())


def load_onnx(path: Path, architecture: Path | None, trust_pickle: bool) -> Teacher:
    """An ``.onnx`` network with one input ``(N, D)`` and one output, through onnxruntime on the CPU.

    Raises:
        TeacherError: when it cannot be read, or has another signature.
    """
    try:
        import onnxruntime
    except ImportError:
        raise _missing(path, "onnxruntime", "onnx") from None
    data = path.read_bytes()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise TeacherError(path, f"not an ONNX network, or cut short ({one_line(error)})") from None
    if len(session.get_inputs()) != 1 or len(session.get_outputs()) != 1:
        counts = len(session.get_inputs()), len(session.get_outputs())
        raise TeacherError(path, f"must have one input and one output, has {counts[0]} and {counts[1]}")
    entry = session.get_inputs()[0]
    dtypes = {"tensor(float)": torch.float32, "tensor(double)": torch.float64}
    if entry.type not in dtypes:
        raise TeacherError(path, f"must take floats, takes {entry.type}")
    function = from_numpy(lambda x: session.run(None, {entry.name: x})[0])
    width = entry.shape[1] if len(entry.shape) == 2 and isinstance(entry.shape[1], int) else None
    return Teacher(str(path), function, dtypes[entry.type], hash_bytes(data), width=width)


def _estimator(path: Path, estimator: Any, data: bytes) -> Teacher:
    if not callable(getattr(estimator, "predict", None)):
        raise TeacherError(path, f"holds a {type(estimator).__name__}, which has no predict")
    width = getattr(estimator, "n_features_in_", None)

    def predict(x: np.ndarray) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # fitted with feature names, asked without
            return estimator.predict(x)

    return Teacher(str(path), from_numpy(predict), torch.float64, hash_bytes(data), width=width, estimator=estimator)


def _missing(path: Path, package: str, extra: str) -> TeacherError:
    return TeacherError(path, f"needs {package}", remedy=f"pip install 'dfkd-tune[{extra}]'")
