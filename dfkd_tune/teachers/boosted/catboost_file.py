"""Load CatBoost models: ``.cbm``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dfkd_tune.errors import TeacherError
from dfkd_tune.teachers.base import Teacher, hash_bytes
from dfkd_tune.teachers.black_box import missing
from dfkd_tune.teachers.boosted.boosted_trees import (
    ONE_THREAD,
    BoostedTrees,
    Tree,
    as_teacher,
    check_tree,
    refuse_classes,
)
from dfkd_tune.teachers.safety import archives
from dfkd_tune.teachers.safety.child_process import DAMAGED_REMEDY, read_by_library

CLASSES = ("Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll", "MultiLogloss", "MultiCrossEntropy")
"""Loss functions that classify."""
HEAD = b"CBM1"
DEEPEST = 16
"""Largest depth of a symmetric tree; CatBoost trains no deeper ones."""


def load_catboost(path: Path, architecture: Path | None, trust_pickle: bool) -> Teacher:
    """Load a CatBoost model of numeric and categorical columns.

    Raises:
        TeacherError: CatBoost is not installed or refuses the file, the model classifies, or it takes texts or
            embeddings.
    """
    data = archives.read(path)
    if not data.startswith(HEAD):
        raise TeacherError(path, "not a model of CatBoost, or cut short", remedy="model.save_model('model.cbm')")
    if find_spec("catboost") is None:
        raise missing(path, "catboost", "catboost")
    document = read_by_library(path, data, "catboost")
    try:
        model = json.loads(document)
        loss = str(model["model_info"]["params"]["loss_function"]["type"])
        told = model["features_info"]
        numbers, words = told.get("float_features", []), told.get("categorical_features", [])
        flat = {feature["feature_index"]: feature["flat_feature_index"] for feature in numbers}
        trees = [*_trees(model, flat, len(words))]
        for tree in trees:
            check_tree(tree, 1 + max((feature["flat_feature_index"] for feature in [*numbers, *words]), default=-1))
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise TeacherError(path, f"not a model of catboost, or damaged: {error}", remedy=DAMAGED_REMEDY) from None
    if loss in CLASSES:
        refuse_classes(path, loss)
    if kinds := [kind for kind in ("text", "embedding") if told.get(f"{kind}_features")]:
        raise TeacherError(
            path, f"takes {kinds[0]} features, a teacher takes numbers and categories", remedy="train it without them"
        )
    return as_teacher(path, _model(data, trees), hash_bytes(data), torch.float32)


def _model(data: bytes, trees: list[Tree]) -> BoostedTrees:
    from catboost import CatBoostRegressor

    model = CatBoostRegressor()
    model.load_model(blob=data, format="cbm")
    names: list[str] = [*(model.feature_names_ or ())]
    chosen: list[int] = [*(model.get_cat_feature_indices() or ())]
    known = None if names == [str(i) for i in range(len(names))] else names

    def score(rows: np.ndarray) -> Any:
        return model.predict(rows, thread_count=ONE_THREAD)

    # The file holds hashes of the levels, so that they must be declared.
    return BoostedTrees(score, len(names), known, dict.fromkeys(chosen), words=bool(chosen), trees=lambda: trees)


def _trees(model: dict[str, Any], flat: dict[int, int], categorical: int) -> Iterator[Tree]:
    """The trees of a model; ``flat`` maps the number of a numeric feature to its column."""
    for tree in model.get("oblivious_trees", ()):
        yield _symmetric(tree, flat)
    for tree in model.get("trees", ()):
        yield _nested(tree, flat)


def _symmetric(tree: dict[str, Any], flat: dict[int, int]) -> Tree:
    """A tree all of whose nodes at one depth have the same split; bit k of a leaf's index is the answer at depth k."""
    splits, rows = tree["splits"] or [], np.asarray(tree.get("leaf_weights", ()), dtype=np.float64)
    depth = len(splits)
    if depth > DEEPEST:
        raise ValueError(f"a tree is {depth} deep, {DEEPEST} at most")
    if len(tree["leaf_values"]) % 2**depth or len(rows) not in (0, 2**depth):
        raise ValueError("a tree has another number of leaves than it needs")
    rows = rows if len(rows) else np.zeros(2**depth)
    count, first = 2 ** (depth + 1) - 1, 2**depth - 1
    feature, cuts, by_set, held = np.full(count, -1), np.full(count, np.nan), np.zeros(count, bool), np.zeros(count)
    left, right, leaf = np.full(count, -1), np.full(count, -1), np.arange(2**depth)
    for level, split in enumerate(splits):
        here = 2**level - 1 + np.arange(2**level)
        feature[here], cuts[here], by_set[here] = _split(split, flat)
        left[here], right[here] = here + 2**level, here + 2 ** (level + 1)
        held[here] = np.bincount(leaf % 2**level, weights=rows, minlength=2**level)
    held[first:] = rows
    return Tree(feature, cuts, left, right, held, by_set)


def _nested(root: dict[str, Any], flat: dict[int, int]) -> Tree:
    """A tree whose nodes have splits of their own."""
    nodes, waiting = [], [(root, -1, 0)]
    while waiting:
        node, parent, side = waiting.pop()
        here = len(nodes)
        if parent >= 0:
            nodes[parent][side] = here
        about = _split(node["split"], flat) if "split" in node else (-1, np.nan, False)
        nodes.append([-1, -1, *about, float(np.sum(node.get("weight", 0.0))), parent])
        if "split" in node:
            waiting += [(node["right"], here, 1), (node["left"], here, 0)]
    for *_, rows, parent in reversed(nodes):
        if parent >= 0:
            nodes[parent][5] += rows
    left, right, feature, cuts, by_set, rows, _ = (np.array(column) for column in zip(*nodes, strict=True))
    return Tree(feature, cuts, left, right, rows, by_set)


def _split(split: dict[str, Any], flat: dict[int, int]) -> tuple[int, float, bool]:
    """Column, threshold, and whether the split is by categories instead."""
    if split["split_type"] == "FloatFeature":
        return flat[split["float_feature_index"]], float(split["border"]), False
    return 0, np.nan, True
