"""Boosted trees of other libraries, with the interface of a scikit-learn estimator, and their nodes as arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dfkd_tune.errors import TeacherError
from dfkd_tune.inputs.features_file import MOST_FEATURES
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.black_box import from_numpy
from dfkd_tune.teachers.table_model import TableModel

REGRESSOR = "make a Python function of its probabilities the teacher: --teacher MODULE:FUNCTION"
ONE_THREAD = 1
"""Threads of a library: its pool and that of PyTorch wait for each other, a tenth of a second for a call of 1 ms."""


@dataclass(frozen=True)
class Tree:
    """A binary tree as arrays over its nodes; a row goes left if its feature is at most the threshold.

    Args:
        feature: index of the feature; -1 at a leaf.
        threshold: threshold of an inner node.
        left, right: indices of the children of an inner node.
        rows: weighted number of training rows at the node.
        by_set: mask of the inner nodes that split by a set of categories; None if there are none.
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    rows: np.ndarray
    by_set: np.ndarray | None = None


@dataclass(frozen=True)
class BoostedTrees(TableModel):
    """A model of boosted trees; ``predict`` takes arrays, and data frames in the order of its columns.

    Args:
        score: array ``(N, D)`` -> outputs; of float64, or of objects if ``words`` is true.
        width: number of columns D.
        names: names of the columns, if they are known.
        levels: index of a categorical column -> its levels in order of their codes; None if the file does not hold them.
        coded: categorical columns that ``score`` takes as codes 0, 1, ... instead of levels.
        words: whether ``score`` takes an array of objects, with the levels of categorical columns as they are.
        trees: the trees whose counts show how training rows are distributed.
    """

    score: Callable[[np.ndarray], Any]
    width: int
    names: Sequence[str] | None = None
    levels: Mapping[int, list[Any] | None] = field(default_factory=dict)
    coded: Sequence[int] = ()
    words: bool = False
    trees: Callable[[], Iterable[Tree]] = tuple

    @property
    def takes_frames(self) -> bool:
        """Whether it takes columns of words although its columns have no names."""
        return bool(self.levels)

    @property
    def n_features_in_(self) -> int:
        return self.width

    @property
    def feature_names_in_(self) -> np.ndarray | None:
        return None if self.names is None else np.array([*self.names], dtype=object)

    def predict(self, rows: Any) -> Any:
        """Outputs ``(N,)`` or ``(N, O)`` for an array or a data frame ``(N, D)``."""
        columns = np.asarray(rows, dtype=object if self.words or rows.__class__.__name__ == "DataFrame" else None)
        if not self.levels:
            return self.score(np.asarray(columns, dtype=np.float64))
        made = [self._column(i, columns[:, i]) for i in range(columns.shape[1])]
        if self.words:
            filled = np.empty(columns.shape, dtype=object)
            for i, column in enumerate(made):
                filled[:, i] = column
            return self.score(filled)
        return self.score(np.stack(made, axis=1).astype(np.float64))

    def _column(self, i: int, column: np.ndarray) -> np.ndarray:
        if i in self.coded and (levels := self.levels.get(i)) is not None:
            code = {level: float(k) for k, level in enumerate(levels)}
            values = [None if _is_missing(value) else _plain(value) for value in column.tolist()]
            if strange := {value for value in values if value is not None} - code.keys():
                raise ValueError(f"{strange.pop()!r} is none of the levels of column {i}")
            return np.array([np.nan if value is None else code[value] for value in values])
        if i in self.levels and self.words:
            return np.array([_plain(value) for value in column.tolist()], dtype=object)
        return column


def _plain(value: Any) -> Any:
    """A level as the libraries keep it: whole numbers as int."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def as_teacher(path: object, trees: BoostedTrees, sha256: str, dtype: torch.dtype) -> Teacher:
    """Make a teacher of boosted trees.

    Raises:
        TeacherError: it takes no columns, or more than a features file holds.
    """
    if not 0 < trees.width <= MOST_FEATURES:
        raise TeacherError(path, f"takes {trees.width:,} features, a teacher takes 1 to {MOST_FEATURES:,}")
    predict: Callable[[Tensor], Tensor] = from_numpy(trees.predict)
    return Teacher(str(path), predict, dtype, sha256, width=trees.width, estimator=trees)


def refuse_classes(path: object, objective: str) -> None:
    """Refuse a model that was trained to classify.

    Raises:
        TeacherError: always.
    """
    raise TeacherError(
        path, f"was trained for {objective[:60]!r}, so it answers classes, not numbers", remedy=REGRESSOR
    )


def check_tree(tree: Tree, width: int) -> None:
    """Check that compiled code follows the nodes of a tree to a leaf without leaving it.

    Raises:
        ValueError: a child is not a node, nodes lead in a circle, or a feature is not one of ``width`` columns.
    """
    count, inner = len(tree.feature), tree.feature >= 0
    children = np.concatenate([tree.left[inner], tree.right[inner]]).astype(np.int64)
    if not (len(tree.threshold) == len(tree.left) == len(tree.right) == len(tree.rows) == count > 0):
        raise ValueError("a tree has arrays of different lengths")
    if ((children <= 0) | (children >= count)).any() or len(np.unique(children)) < len(children):
        raise ValueError("a tree has a child that lies outside of it, or leads back")
    if (tree.feature >= width).any():
        raise ValueError(f"a tree asks for a feature that its {width} do not hold")
    by_set = np.zeros(count, bool) if tree.by_set is None else tree.by_set
    if np.isnan(tree.threshold[inner & ~by_set]).any():
        raise ValueError("a tree splits at a threshold that is no number")
