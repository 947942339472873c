"""Load LightGBM models: the ``.txt`` that ``Booster.save_model`` writes."""

from __future__ import annotations

import json
import re
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
from dfkd_tune.utils.user_code import Confined

CLASSES = ("binary", "multiclass", "multiclassova")
"""Objectives that classify."""
HEAD = b"tree\nversion="
"""The beginning of a model file."""
CATEGORIES = "pandas_categorical:"
CATEGORICAL = 1
"""Bit of a decision type: the node splits by a set of categories."""
UNNAMED = re.compile(r"Column_\d+")


def load_lightgbm(path: Path, architecture: Path | None, trust_pickle: bool) -> Teacher:
    """Load a LightGBM model.

    Raises:
        TeacherError: LightGBM is not installed or refuses the file, the text is no model, or the model classifies.
    """
    data = archives.read(path)
    if not data.replace(b"\r\n", b"\n").startswith(HEAD):
        raise TeacherError(path, "a text that is no model of LightGBM", remedy="booster.save_model('model.txt')")
    if find_spec("lightgbm") is None:
        raise missing(path, "lightgbm", "lightgbm")
    text = read_by_library(path, data, "lightgbm").decode(errors="replace")
    try:
        head, *blocks = re.split(r"^Tree=\d+$", text.partition("\nend of trees")[0], flags=re.MULTILINE)
        about = _entries(head)
        names, kinds = about["feature_names"].split(), about["feature_infos"].split()
        width = int(about["max_feature_idx"]) + 1
        if not len(names) == len(kinds) == width:
            raise ValueError("it names another number of features than it takes")
        trees = [*_trees(blocks)]
        for tree in trees:
            check_tree(tree, width)
        levels, coded = _levels(text, kinds)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise TeacherError(path, f"not a model of lightgbm, or damaged: {error}", remedy=DAMAGED_REMEDY) from None
    objective = (about.get("objective") or "").split(" ")[0]
    if objective in CLASSES:
        refuse_classes(path, objective)
    from lightgbm import Booster

    with Confined():  # it prints warnings
        booster = Booster(model_str=text)
    known = None if all(UNNAMED.fullmatch(name) for name in names) else names

    def score(rows: np.ndarray) -> Any:
        return booster.predict(rows, num_threads=ONE_THREAD)

    model = BoostedTrees(score, width, known, levels, coded, trees=lambda: trees)
    return as_teacher(path, model, hash_bytes(data), torch.float64)


def _entries(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _levels(text: str, kinds: list[str]) -> tuple[dict[int, list[Any] | None], list[int]]:
    """Levels of the categorical columns, and the columns that are given as codes.

    A column of a data frame has its levels at the end of the file. A column of an array holds whole numbers, which are
    its levels.
    """
    last = next((line for line in reversed(text.splitlines()) if line.startswith(CATEGORIES)), CATEGORIES)
    of_frame = json.loads(last.removeprefix(CATEGORIES) or "null") or []
    given = re.search(r"^\[categorical_feature: ([\d,]*)\]$", text, re.MULTILINE)
    declared = [int(i) for i in given[1].split(",") if i] if given else []
    seen = [i for i, kind in enumerate(kinds) if kind != "none" and not kind.startswith("[")]
    columns = sorted({*declared, *seen})
    if len(of_frame) == len(columns):
        return dict(zip(columns, of_frame, strict=True)), columns
    if of_frame:
        raise ValueError(f"it has {len(columns)} categorical columns and the levels of {len(of_frame)}")
    numbers = {i: sorted(int(v) for v in kinds[i].split(":") if int(v) >= 0) if i in seen else None for i in columns}
    return {**numbers}, []


def _trees(blocks: list[str]) -> Iterator[Tree]:
    for block in blocks:
        about = _entries(block)
        leaves = int(about["num_leaves"])
        if leaves < 2:
            continue

        def of(key: str, about: dict[str, str] = about) -> np.ndarray:
            return np.array(about.get(key, "").split(), dtype=np.float64)

        inner, outer = np.full(leaves, -1), np.full(leaves, np.nan)
        types, cuts = of("decision_type").astype(np.int64), of("threshold")
        by_set = (types & CATEGORICAL) != 0
        if by_set.any():
            _check_sets(cuts[by_set], of("cat_boundaries"), of("cat_threshold"))
        # A negative child is a leaf, the bits of its index turned; leaves come after the inner nodes here.
        left, right = (
            np.where(c < 0, leaves - 1 + ~c, c) for c in (of(k).astype(int) for k in ("left_child", "right_child"))
        )
        yield Tree(
            np.concatenate([of("split_feature").astype(np.int64), inner]),
            np.concatenate([cuts, outer]),
            np.concatenate([left, inner]),
            np.concatenate([right, inner]),
            np.concatenate([of("internal_count"), of("leaf_count")]),
            np.concatenate([by_set, inner > 0]),
        )


def _check_sets(chosen: np.ndarray, edges: np.ndarray, words: np.ndarray) -> None:
    if (chosen < 0).any() or (chosen + 1 >= len(edges)).any() or (np.diff(edges) < 0).any() or edges[-1] > len(words):
        raise ValueError("a tree asks for a set of categories that is not there")
