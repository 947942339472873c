"""Load XGBoost models: ``.json`` and ``.ubj``."""

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

CLASSES = ("binary:", "multi:")
"""Beginnings of the objectives that classify."""


def load_xgboost(path: Path, architecture: Path | None, trust_pickle: bool) -> Teacher:
    """Load an XGBoost model, of trees or linear.

    A model of ``XGBRegressor`` that stopped early answers with its best iterations, as ``XGBRegressor`` does.

    Raises:
        TeacherError: XGBoost is not installed or refuses the file, or the model classifies.
    """
    if find_spec("xgboost") is None:
        raise missing(path, "xgboost", "xgboost")
    data = archives.read(path)
    document = read_by_library(path, data, "xgboost")
    try:
        learner = json.loads(document)["learner"]
        objective, width = str(learner["objective"]["name"]), int(learner["learner_model_param"]["num_feature"])
        trees = [*_trees(learner["gradient_booster"])]
        for tree in trees:
            check_tree(tree, width)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise TeacherError(path, f"not a model of xgboost, or damaged: {error}", remedy=DAMAGED_REMEDY) from None
    if objective.startswith(CLASSES):
        refuse_classes(path, objective)
    return as_teacher(path, _model(document, learner, width, trees), hash_bytes(data), torch.float32)


def _model(document: bytes, learner: dict[str, Any], width: int, trees: list[Tree]) -> BoostedTrees:
    from xgboost import Booster, DMatrix

    booster = Booster({"nthread": ONE_THREAD})
    booster.load_model(bytearray(document))
    types, names = booster.feature_types, booster.feature_names
    attributes = learner["attributes"]
    used = (0, int(attributes["best_iteration"]) + 1 if {"best_iteration", "scikit_learn"} <= attributes.keys() else 0)

    def score(rows: np.ndarray) -> Any:
        data = DMatrix(rows.astype(np.float32), feature_types=types, enable_categorical=True, nthread=ONE_THREAD)
        return booster.predict(data, iteration_range=used, validate_features=False)

    chosen = [i for i, kind in enumerate(types or ()) if kind == "c"]
    told = [levels for _, levels in booster.get_categories(export_to_arrow=True).to_arrow()] if chosen else []
    levels = {i: None if not told or (found := told[i]) is None else found.to_pylist() for i in chosen}
    return BoostedTrees(score, width, names, levels, coded=chosen, trees=lambda: trees)


def _trees(booster: dict[str, Any]) -> Iterator[Tree]:
    """The trees of a booster; a linear one has none."""
    inner = booster.get("gbtree", booster)  # of dart
    for node in inner["model"].get("trees", ()):
        left = np.asarray(node["left_children"], dtype=np.int64)
        inside = left >= 0
        # A row goes left below the threshold, and elsewhere at most at it.
        cuts = np.nextafter(np.asarray(node["split_conditions"], dtype=np.float32), np.float32(-np.inf))
        yield Tree(
            np.where(inside, np.asarray(node["split_indices"], dtype=np.int64), -1),
            cuts.astype(np.float64),
            left,
            np.asarray(node["right_children"], dtype=np.int64),
            np.asarray(node.get("sum_hessian", np.zeros(len(left))), dtype=np.float64),
            inside & (np.asarray(node["split_type"]) == 1),
        )
