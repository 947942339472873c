"""Load a model file of a compiled library once, in a process of its own: ``python native_loader.py LIBRARY``.

The file comes from standard input. If the library reads it and answers rows, the model is written to standard output
as the library writes it: JSON of XGBoost and CatBoost, text of LightGBM. This script imports nothing of the package.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any


def xgboost(data: bytes) -> bytes:
    """The model as JSON."""
    import numpy as np
    from xgboost import Booster, DMatrix

    booster = Booster({"nthread": 1})
    booster.load_model(bytearray(data))
    rows = np.zeros((2, booster.num_features()), dtype=np.float32)
    rows[1] = np.nan
    types = booster.feature_types
    booster.predict(DMatrix(rows, feature_types=types, enable_categorical=True), validate_features=False)
    return bytes(booster.save_raw("json"))


def lightgbm(data: bytes) -> bytes:
    """The model as text."""
    import numpy as np
    from lightgbm import Booster

    booster = Booster(model_str=data.decode(), params={"num_threads": 1})
    rows = np.zeros((2, booster.num_feature()))
    rows[1] = np.nan
    booster.predict(rows, num_threads=1)
    return booster.model_to_string(num_iteration=-1).encode()


def catboost(data: bytes) -> bytes:
    """The model as JSON."""
    import tempfile
    from pathlib import Path

    import numpy as np
    from catboost import CatBoostRegressor

    model = CatBoostRegressor()
    model.load_model(blob=data, format="cbm")
    with tempfile.TemporaryDirectory() as folder:
        model.save_model(f"{folder}/model.json", format="json")
        written = (Path(folder) / "model.json").read_bytes()
    if not model.get_text_feature_indices() and not model.get_embedding_feature_indices():
        rows = np.zeros((2, len(model.feature_names_ or ())), dtype=object)
        rows[:, model.get_cat_feature_indices()] = "a"
        model.predict(rows, thread_count=1)
    return written


OPTIONAL = ("dask", "distributed", "graphviz", "matplotlib", "pandas", "polars", "pyarrow", "sklearn")
"""Packages that XGBoost and LightGBM import where they are installed, which takes a second and is of no use here."""
LIBRARIES: dict[str, Callable[[bytes], bytes]] = {"xgboost": xgboost, "lightgbm": lightgbm, "catboost": catboost}

if __name__ == "__main__":
    out = os.dup(1)
    os.dup2(2, 1)  # libraries print
    room = int(sys.argv[2])
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (room, room))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.argv[1] != "catboost":
        blocked: dict[str, Any] = dict.fromkeys(OPTIONAL)
        sys.modules.update(blocked)  # an import of None fails
    try:
        answer = LIBRARIES[sys.argv[1]](sys.stdin.buffer.read())
    except Exception as error:
        sys.stderr.write(f"\0{error}")
        sys.exit(3)
    with open(out, "wb") as file:
        file.write(answer)
