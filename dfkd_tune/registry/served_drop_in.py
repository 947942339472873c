"""The code inside a registered model whose teacher takes tensors: it checks the arguments and returns what the teacher does.

A copy of this file lies in the model, beside ``MLmodel`` and ``data/model.pt2``. It needs MLflow, NumPy, pandas and PyTorch, and loads
no pickle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from mlflow.exceptions import MlflowException
from mlflow.models import Model, set_model
from mlflow.pyfunc.model import PythonModel

MOST_LISTED = 12
"""Largest number of levels in a message."""
NEAR, APART = 2.0**-23, 1e-3
"""Largest difference between a number and its level, relative to the largest level and to the step between levels."""


class Student(PythonModel):
    """A student that takes the teacher's arguments: a dict of arrays ``(N, ...)`` by name, or the array itself if there is one."""

    def load_context(self, context: Any) -> None:
        """Load the network and the description of its arguments."""
        folder = Path(__file__).parent
        about = Model.load(str(folder)).metadata
        assert about is not None  # written with the model
        layout = about["layout"]
        self.arguments: list[dict[str, Any]] = layout["arguments"]
        self.call, self.returns = layout["call"], layout["returns"]
        self.outputs: list[str] = [each["name"] for each in layout["outputs"]]
        self.levels: dict[str, list[Any]] = about["levels"]
        self.features: list[str] = about["features"]
        self.gapped: list[str] = about["gapped"]
        self.module = torch.export.load(folder / "data" / "model.pt2").module()

    # MLflow warns of no type, and of a union. It checks nothing against an array, so that a dict of arrays arrives as well.
    def predict(  # pyright: ignore[reportIncompatibleMethodOverride]  # MLflow says no type
        self, context: Any, model_input: np.ndarray, params: dict[str, Any] | None = None
    ) -> np.ndarray | dict[str, np.ndarray]:
        """The teacher's output as an array, or several as a dict of arrays by name.

        Raises:
            MlflowException: an argument is missing, or has another shape or values than the teacher takes.
        """
        given = self.by_name(model_input)
        arrays = [self.array(each, given[each["name"]]) for each in self.arguments]
        rows = {len(array) for array in arrays}
        if len(rows) > 1:
            counts = ", ".join(f"{e['name']} {len(a)}" for e, a in zip(self.arguments, arrays, strict=True))
            raise refusal(
                "arguments", f"have different numbers of rows: {counts}", "send one row of each for every row"
            )
        flat = [array.reshape(len(array), -1) for array in arrays]
        self.check_values(np.concatenate(flat, axis=1, dtype=np.float64))
        tensors = [
            torch.from_numpy(np.ascontiguousarray(array)).to(getattr(torch, each["dtype"]))
            for each, array in zip(self.arguments, arrays, strict=True)
        ]
        positional, keywords = filled(self.call, tensors)
        with torch.no_grad():
            found = leaves(self.returns, self.module(*positional, **keywords))
        # NumPy has no bfloat16.
        known = [found[i].float() if found[i].dtype == torch.bfloat16 else found[i] for i in range(len(found))]
        answers = {name: answer.numpy() for name, answer in zip(self.outputs, known, strict=True)}
        return answers if len(answers) > 1 else answers[self.outputs[0]]

    def by_name(self, given: Any) -> dict[str, Any]:
        """The arguments by name, from a dict, from a table with one column for each, or from the only one itself."""
        names = [each["name"] for each in self.arguments]
        if isinstance(given, pd.DataFrame):
            if len(names) == 1 and names[0] not in given:
                return {names[0]: given.to_numpy()}
            given = {str(name): given[name].to_list() for name in given.columns}
        if not isinstance(given, Mapping):
            if len(names) > 1:
                raise refusal("input", "is one array", f"send a dict of arrays: {', '.join(names)}")
            return {names[0]: given}
        missing = [name for name in names if name not in given]
        if missing:
            found = ", ".join(map(str, given)) or "nothing"
            raise refusal(f"argument {missing[0]!r}", f"missing; got {found}", f"send {', '.join(names)}")
        return dict(given)

    def array(self, argument: dict[str, Any], value: Any) -> np.ndarray:
        """An argument as an array ``(N, ...)`` of numbers in its shape."""
        place, shape = f"argument {argument['name']!r}", tuple(argument["shape"])
        known = argument.get("words")
        try:
            array = np.asarray(value) if known is None else codes(place, value, known)
            array = np.asarray(array.tolist()) if array.dtype == object else array
            array = array.astype(np.float64) if array.dtype.kind not in "biuf" else array
        except (TypeError, ValueError):
            raise refusal(
                place, "holds no numbers, or rows of different lengths", f"send numbers {words(shape)}"
            ) from None
        if array.shape[1:] != shape and math.prod(array.shape[1:]) == math.prod(shape) and array.ndim > 0:
            array = array.reshape(len(array), *shape)
        if array.ndim == 0 or array.shape[1:] != shape:
            raise refusal(place, f"has the shape {array.shape}", f"send {words(shape)}")
        whole = not argument["dtype"].startswith(("float", "bfloat"))
        if np.isinf(array).any() or (whole and np.isnan(array).any()):
            raise refusal(place, "holds a missing or infinite value", "send finite numbers")
        if whole and (array != np.round(array)).any():
            raise refusal(
                place, f"takes {argument['dtype']}, holds {array[array != np.round(array)][0]:g}", "send whole numbers"
            )
        return array

    def check_values(self, rows: np.ndarray) -> None:
        """Refuse a value of flat rows ``(N, D)`` that is missing, or none of the declared levels."""
        dtypes = [each["dtype"] for each in self.arguments for _ in range(math.prod(each["shape"]))]
        for i, (name, dtype) in enumerate(zip(self.features, dtypes, strict=True)):
            optional = name in self.gapped or None in self.levels.get(name, [])
            if not optional and np.isnan(rows[:, i]).any():
                raise refusal(
                    f"value {name!r}", "is missing", "send a number: the student knows no missing values there"
                )
            if name in self.levels and not isinstance(self.levels[name][0], str):
                levels = np.array([level for level in self.levels[name] if level is not None], dtype=np.float64)
                # A caller's array of a shorter dtype, such as float16, holds the levels as that dtype rounds them.
                short = torch.tensor(levels).to(getattr(torch, dtype)).double().numpy()
                wrong = strays(rows[:, i], np.sort(levels)) & ~np.isin(rows[:, i], short)
                if wrong.any():
                    known = ", ".join(f"{level:.15g}" for level in levels[:MOST_LISTED])
                    rule = f"is {rows[wrong][0, i]:.15g}, which is no level"
                    raise refusal(f"value {name!r}", rule, f"known: {known}")


def strays(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Mask ``(N,)`` of the values that equal no level ``(L,)`` (sorted) up to float32 rounding.

    Where levels are large, that rounding alone would take another whole number, or a number between two levels.
    """
    nearest = known[np.abs(values[:, None] - known).argmin(1)]
    step = min([*np.diff(known).tolist(), 1.0 if (known == np.round(known)).all() else np.inf])
    far = np.abs(values - nearest) > min(NEAR * np.abs(known).max(), APART * step)
    return far & (values != nearest.astype(np.float32))


def codes(place: str, value: Any, known: list[str]) -> np.ndarray:
    """The places of words in the list of known ones."""
    array = np.asarray(value, dtype=object)
    strange = [word for word in array.ravel().tolist() if word not in known]
    if strange:
        listed = ", ".join(known[:MOST_LISTED])
        raise refusal(place, f"holds {str(strange[0])[:40]!r}, which is no level", f"known: {listed}")
    return np.array([known.index(word) for word in array.ravel().tolist()], dtype=np.int64).reshape(array.shape)


def filled(tree: dict[str, Any], values: list[Any]) -> Any:
    """A value of the form of a tree of the model's metadata."""
    ((kind, held),) = tree.items()
    if kind == "leaf":
        return values[held]
    if kind == "dict":
        ordered = sorted(held.items(), key=lambda pair: place(pair[1]))  # the metadata are sorted by name
        return {name: filled(part, values) for name, part in ordered}
    if kind == "constant":
        return held
    parts = [filled(part, values) for part in held]
    return tuple(parts) if kind == "tuple" else parts


def place(tree: dict[str, Any]) -> float:
    """The first of the leaves in a tree, which are numbered in the teacher's order; infinite without any."""
    ((kind, held),) = tree.items()
    if kind in ("leaf", "constant"):
        return held if kind == "leaf" else math.inf
    return min(map(place, held.values() if kind == "dict" else held), default=math.inf)


def leaves(tree: dict[str, Any], value: Any) -> dict[int, Any]:
    """Index -> leaf of a value that has the form of a tree of the model's metadata."""
    ((kind, held),) = tree.items()
    if kind == "leaf":
        return {held: value}
    if kind == "constant":
        return {}
    pairs = [(part, value[name]) for name, part in (held.items() if kind == "dict" else enumerate(held))]
    return {index: leaf for part, each in pairs for index, leaf in leaves(part, each).items()}


def words(shape: tuple[int, ...]) -> str:
    """A shape with its batch."""
    return f"(rows{''.join(f', {n}' for n in shape)})"


def refusal(place: str, rule: str, remedy: str) -> MlflowException:
    """The error for invalid arguments, in one line; HTTP status 400."""
    return MlflowException.invalid_parameter_value(f"{place}: {rule}; {remedy}")


set_model(Student())
