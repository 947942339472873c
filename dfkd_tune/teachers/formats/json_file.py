"""Load ``.json`` files: an XGBoost model, or the index of a model's shards."""

from __future__ import annotations

import json
from pathlib import Path

from dfkd_tune.errors import TeacherError
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.boosted.xgboost_file import load_xgboost
from dfkd_tune.teachers.formats.state_dict import load_shards
from dfkd_tune.teachers.safety import archives
from dfkd_tune.utils.object_reference import one_line

OTHERS = {
    "oblivious_trees": ("CatBoost", "save it as .cbm: model.save_model('model.cbm')"),
    "tree_info": ("LightGBM", "save it as .txt: booster.save_model('model.txt')"),
}
"""Key of a document -> the library that wrote it, and what to save instead."""


def load_json(path: Path, architecture: Path | None, trust_pickle: bool) -> Teacher:
    """Load what a JSON document describes.

    Raises:
        TeacherError: the document is neither an XGBoost model nor a shard index, or cannot be loaded.
    """
    try:
        document = json.loads(archives.read(path))
    except (ValueError, RecursionError) as error:
        raise TeacherError(path, f"not JSON, or cut short: {one_line(error)}") from None
    keys = document.keys() if isinstance(document, dict) else ()
    if "learner" in keys:
        return load_xgboost(path, architecture, trust_pickle)
    for key, (library, remedy) in OTHERS.items():
        if key in keys:
            raise TeacherError(path, f"is JSON of {library}, which is not read", remedy=remedy)
    return load_shards(path, architecture, trust_pickle)
