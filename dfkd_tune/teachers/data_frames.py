"""Pass data frames to estimators that were fitted on one: columns by name and in order, levels as strings."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dfkd_tune.errors import TeacherError
from dfkd_tune.inputs.encoding import MISSING
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.prior import InferredPrior, Inputs
from dfkd_tune.layouts.signature import Argument, Signature
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.boosted.boosted_trees import BoostedTrees
from dfkd_tune.teachers.signatures.first_steps import first_steps
from dfkd_tune.teachers.table_model import TableModel

WORDS = "string"
"""The kind of a column of words."""
NEAR = 1e-3
"""Largest distance of a value from the code of a level; float32 rounding of a whole number is smaller."""


@dataclass(frozen=True)
class Encoded:
    """A column that a teacher encodes by levels.

    Args:
        name: name of the column.
        levels: ``(K,)`` levels that it learned; None or NaN stands for missing values.
        strict: whether it refuses any other level.
        imputed: whether an imputer fills missing values before.
    """

    name: str
    levels: np.ndarray
    strict: bool
    imputed: bool = False


def feature_names(teacher: Teacher) -> list[str] | None:
    """The columns that a teacher was fitted on, in its order; None if it was fitted on an array or does not say."""
    names = getattr(teacher.estimator, "feature_names_in_", None)
    return None if names is None else [str(name) for name in names]


def _takes_frames(teacher: Teacher) -> bool:
    """Whether a model of this package takes data frames even if its columns have no names."""
    return isinstance(teacher.estimator, TableModel) and teacher.estimator.takes_frames


def column_kinds(teacher: Teacher) -> Mapping[str, str]:
    """Name of a column -> the name of its dtype, or ``string``, as far as the model behind a teacher knows them."""
    return teacher.estimator.kinds if isinstance(teacher.estimator, TableModel) else {}


def places(teacher: Teacher, names: Sequence[str]) -> list[int]:
    """Index of each named feature among the columns of an estimator, which may be in another order."""
    own = feature_names(teacher)
    return [*range(len(names))] if own is None else [own.index(name) for name in names]


def categories(teacher: Teacher) -> dict[str, list[Any]]:
    """Column name -> levels that the teacher's encoders learned; array columns are named ``"0"``, ``"1"``, ..."""
    names = feature_names(teacher)
    every = _encoded(teacher.estimator, names or [str(i) for i in range(teacher.width or 0)])
    return {each.name: each.levels.tolist() for each in every}


def levels_of(teacher: Teacher) -> dict[str, list[float | str]]:
    """Column name -> learned levels in the form of a features file: finite numbers, or strings."""
    found = {}
    for name, levels in categories(teacher).items():
        if all(isinstance(level, str) for level in levels):
            found[name] = levels
        elif all(isinstance(level, bool | int | float) and math.isfinite(level) for level in levels):
            found[name] = [float(level) for level in levels]
    return found


def asked_by_name(teacher: Teacher, names: Sequence[str], labels: Mapping[int, Sequence[str | None]]) -> Teacher:
    """Return a teacher that receives a data frame if it was fitted on one; otherwise the teacher itself.

    A teacher with arguments knows their words by itself.

    Args:
        teacher: any teacher; only one with a scikit-learn estimator changes.
        names: column names of the rows ``(N, D)`` that it will be queried with.
        labels: column index -> its levels. Rows hold codes ``0 .. k-1`` there, and the estimator receives the strings.
            None is a missing value.

    Raises:
        TeacherError: the names differ from those it was fitted on, or it was fitted on an array and a level is a
            string.
    """
    if teacher.layout is not None:
        return teacher
    own = feature_names(teacher)
    if own is None and _takes_frames(teacher):
        own = [*names]
    if own is None:
        if labels:
            raise TeacherError(
                teacher.source,
                f"takes numbers alone, {names[min(labels)]} has levels that are strings",
                remedy="give numbers as levels in the features file",
            )
        return teacher
    _same(teacher, own, names)
    estimator, source, order = teacher.estimator, teacher.source, [own.index(name) for name in names]
    levels = {column: np.array([*found], dtype=object) for column, found in labels.items()}
    learned = {each.name: each.levels for each in _encoded(estimator, own) if each.levels.dtype == object}
    objects = {name: _by_number(found) for name, found in learned.items()}
    numbers = {i: objects[name] for i, name in enumerate(names) if i not in levels and objects.get(name)}
    # Missing values are None where the encoder was fitted on None; pandas would make them NaN.
    nones = {own.index(name) for name, found in learned.items() if any(level is None for level in found.tolist())}

    def answer(x: Tensor) -> Tensor:
        import pandas as pd

        rows = x.detach().cpu().numpy()
        columns: list[Any] = [None] * len(own)
        for i, place in enumerate(order):
            if i in levels:
                columns[place] = _strings(source, names[i], rows[:, i], levels[i])
            elif i in numbers:
                columns[place] = np.array([numbers[i].get(value, value) for value in rows[:, i].tolist()], dtype=object)
            else:
                columns[place] = rows[:, i]
        for place in nones:
            kept = [None if _absent(value) else value for value in columns[place]]
            columns[place] = pd.Series(kept, dtype=object)
        # Built at once, because inserting a column copies the frame.
        frame = pd.DataFrame(dict(enumerate(columns)))
        frame.columns = own
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return torch.from_numpy(np.array(estimator.predict(frame), copy=True)).to(x.device)

    return replace(teacher, function=answer)


def column_signature(teacher: Teacher, inputs: Inputs) -> Signature | None:
    """The columns of a teacher that takes a table with named columns, as arguments of one value a row; None for any other.

    Args:
        teacher: a teacher without a layout.
        inputs: its inputs, in the order of the features file.
    """
    own = feature_names(teacher) or (inputs.names if _takes_frames(teacher) else None)
    if teacher.layout is not None or own is None:
        return None
    kinds, features = column_kinds(teacher), {each.name: each for each in inputs.features}
    arguments = []
    for name in own:
        words = [word for word in features[name].labels or () if word is not None] if name in features else []
        dtype = getattr(torch, kinds[name]) if kinds.get(name, WORDS) != WORDS else teacher.dtype
        arguments.append(Argument(name, (), dtype, words=tuple(words) if words or kinds.get(name) == WORDS else None))
    return Signature.positional(arguments)


def require_words(teacher: Teacher, inputs: Inputs) -> None:
    """Check that columns of words have words as levels, as far as the teacher's columns are known.

    Raises:
        TeacherError: a column has none, or a column of numbers has words.
    """
    labels = {feature.name: feature.labels for feature in inputs.features}
    for name, kind in column_kinds(teacher).items():
        if name in labels and (labels[name] is not None) != (kind == WORDS):
            what = "has words as levels" if kind != WORDS else "has no levels, and nothing else says which words occur"
            levels = "[red, blue]" if kind == WORDS else "[0, 1]"
            raise TeacherError(
                teacher.source,
                f"takes the column {name} of {kind}, which {what}",
                remedy=f"declare them in the features file: {{name: {name}, levels: {levels}}}",
            )


def with_whole_numbers(teacher: Teacher, inputs: Inputs) -> Inputs:
    """The inputs as a teacher's columns of integers and truth values take them; a fraction there would be cut off.

    Features in columns of integers are whole numbers, those in columns of truth values are 0 and 1.

    Raises:
        TeacherError: something else is declared of such a column.
    """
    kinds = column_kinds(teacher)
    features = [_as_taken(feature, kinds.get(feature.name, ""), teacher.source) for feature in inputs.features]
    told = [new for old, new in zip(inputs.features, features, strict=True) if new.known and not old.known]
    if not told:
        return inputs.replaced(features=features) if features != [*inputs.features] else inputs
    words = f"truth values of {', '.join(feature.name for feature in told)} are those that the teacher's columns take"
    return inputs.replaced(features=features, inferred=inputs.inferred or InferredPrior(words, inputs))


def _as_taken(feature: Feature, kind: str, source: object) -> Feature:
    """A feature as a column of a kind takes it."""
    truth = kind == "bool"
    if not truth and not kind.startswith(("int", "uint")):
        return feature
    if feature.levels is None and not truth:
        return feature if feature.integer else replace(feature, integer=True)
    if not feature.known:
        return replace(feature, levels=[0.0, 1.0])
    levels = [float(level) for level in feature.levels or () if level is not None]
    if feature.levels is None or not all(level in (0, 1) if truth else level.is_integer() for level in levels):
        takes, remedy = ("0 and 1", "[0, 1]") if truth else ("whole numbers", "[0, 1, 2]")
        rule = f"takes {takes} in the column {feature.name}, of {kind}; the features file declares others"
        raise TeacherError(source, rule, remedy=f"declare {{name: {feature.name}, levels: {remedy}}}")
    return feature


def require_levels(teacher: Teacher, features: Sequence[Feature]) -> None:
    """Check that the columns that a teacher encodes by levels have declared levels, and such as it knows.

    Args:
        teacher: any teacher; only boosted trees and estimators with an encoder are checked.
        features: the features, in the order of the teacher's columns if these have no names.

    Raises:
        TeacherError: such a column has no levels, or one that the teacher refuses.
    """
    names = [feature.name for feature in features]
    own = feature_names(teacher) or names
    if isinstance(teacher.estimator, BoostedTrees):
        untold = [(teacher.estimator.names or names)[i] for i, known in teacher.estimator.levels.items() if not known]
        for feature in features:
            if feature.name in untold and feature.levels is None:
                raise TeacherError(
                    teacher.source,
                    f"has categories in the column {feature.name}, and its file does not tell which",
                    remedy=f"declare them in the features file: {{name: {feature.name}, levels: [...]}}",
                )
    known = {each.name: each for each in _encoded(teacher.estimator, own)}
    for feature in features:
        if (encoded := known.get(feature.name)) is not None:
            _require(teacher.source, feature, encoded)


def _require(source: str, feature: Feature, encoded: Encoded) -> None:
    """Check one feature that is encoded by levels."""
    name, levels = feature.name, [None if _absent(level) else level for level in encoded.levels.tolist()]
    shown = ", ".join("null" if level is None else str(level) for level in levels[:20]) + ", ..." * (len(levels) > 20)
    if feature.levels is None:
        if feature.integer and all(isinstance(level, bool | int | float) for level in levels):
            return
        raise TeacherError(
            source,
            f"was fitted on levels of {name}, and the features file declares none",
            remedy=f"declare them: {{name: {name}, levels: [{shown}]}}",
        )
    strange = [level for level in feature.levels if level not in levels and not (level is None and encoded.imputed)]
    if not strange or (len(strange) < len(feature.levels) and not encoded.strict):
        return
    remedy = f"declare levels among {shown}"
    if strange[0] is None:
        raise TeacherError(source, f"was not fitted on missing values of {name}", remedy=f"{remedy}, without null")
    if strange[0] == MISSING and None in levels:
        remedy = "write null for a missing value"
    level = f"{strange[0]:g}" if isinstance(strange[0], float) else repr(strange[0])
    raise TeacherError(source, f"was not fitted on the level {level} of {name}", remedy=remedy)


def _absent(level: Any) -> bool:
    """Whether a learned level stands for missing values."""
    return level is None or (isinstance(level, float) and math.isnan(level))


def _same(teacher: Teacher, own: Sequence[str], names: Sequence[str]) -> None:
    """Check that the names of a features file are those of an estimator."""
    lacking = [name for name in own if name not in set(names)]
    unknown = [name for name in names if name not in set(own)]
    twice = len(set(names)) < len(names)
    if not (lacking or unknown or twice):
        return
    said = [f"lacks {', '.join(lacking[:5])}"] if lacking else []
    said += [f"has {', '.join(unknown[:5])}, which it does not know"] if unknown else []
    said += ["names a feature twice"] if twice else []
    raise TeacherError(
        teacher.source,
        f"was fitted on the columns {', '.join(own[:20])}{', ...' if len(own) > 20 else ''}; the features file {' and '.join(said)}",
        remedy="name the features as its columns are named",
    )


def _strings(source: str, name: str, codes: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Map the codes of a column to its levels; NaN maps to the level None."""
    missing = [code for code, level in enumerate(levels) if level is None]
    if missing:
        codes = np.where(np.isnan(codes), missing[0], codes)
    whole = np.rint(codes)
    known = (np.abs(codes - whole) <= NEAR) & (whole >= 0) & (whole < len(levels))
    if not known.all():
        found = codes[~known][0]
        raise TeacherError(
            source,
            f"was queried with {found:g} for {name}, which has the levels 0 to {len(levels) - 1}",
            remedy="give rows that hold levels",
        )
    return levels[whole.astype(np.int64)]


def _category_encoder(estimator: Any) -> Any:
    """What a ``HistGradientBoostingRegressor`` encodes category columns with; None for any other estimator."""
    if "sklearn.ensemble" not in sys.modules:  # then it is no estimator of that module, whose import takes a second
        return None
    from dfkd_tune.compat import sklearn as private

    return private.category_encoder(estimator) if isinstance(estimator, private.BaseHistGradientBoosting) else None


def _by_number(levels: np.ndarray) -> dict[float, Any]:
    """Number -> level, for levels that an encoder keeps as objects: of a category column, which floats do not match."""
    return {float(level): level for level in levels.tolist() if isinstance(level, bool | int | float)}


def _encoded(estimator: Any, names: Sequence[str]) -> Iterator[Encoded]:
    """Yield the columns that an encoder gets first, or behind an imputer."""
    if isinstance(estimator, BoostedTrees):
        known = {i: levels for i, levels in estimator.levels.items() if levels is not None}
        of = estimator.names or names
        yield from (Encoded(of[i], np.array([*levels], dtype=object), True) for i, levels in known.items())
        return
    for first in first_steps(estimator, names):
        found = getattr(first.step, "categories_", None)
        # An imputer may have put further columns behind those with names.
        if isinstance(found, list) and len(found) >= len(first.columns):
            strict = getattr(first.step, "handle_unknown", None) == "error"
            pairs = zip(first.columns, found, strict=False)
            yield from (Encoded(name, levels, strict, first.imputed) for name, levels in pairs)
        elif (inner := _category_encoder(first.step)) is not None:
            yield from _encoded(inner, first.columns)
