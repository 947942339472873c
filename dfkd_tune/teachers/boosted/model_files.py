"""Models of boosted trees that were given in Python, in the files of their libraries.

Such a file holds the counts of training rows at the splits, from which a prior is inferred. Another copy of the object does not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _xgboost(model: Any, file: Path) -> None:
    model.save_model(file)


def _lightgbm(model: Any, file: Path) -> None:
    # Not by a default of getattr: the error of an estimator that is not fitted is an AttributeError as well.
    booster = model.booster_ if hasattr(type(model), "booster_") else model
    booster.save_model(file)


def _catboost(model: Any, file: Path) -> None:
    model.save_model(str(file), format="cbm")


WRITERS: dict[str, tuple[str, Callable[[Any, Path], None]]] = {
    "xgboost": (".ubj", _xgboost),
    "lightgbm": (".txt", _lightgbm),
    "catboost": (".cbm", _catboost),
}
"""Package of a model's class -> suffix of its file, and what writes it."""


def is_boosted(model: Any) -> bool:
    """Whether an object is a model of one of these libraries."""
    return _package(model) in WRITERS and hasattr(model, "predict")


def model_file(model: Any) -> tuple[str, bytes]:
    """The suffix and the content of the file of a model; raises what its library raises for one that is not fitted."""
    suffix, write = WRITERS[_package(model)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"model{suffix}")
        write(model, file)
        return suffix, file.read_bytes()


def _package(model: Any) -> str:
    return type(model).__module__.partition(".")[0]
