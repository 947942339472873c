"""Models of XGBoost, LightGBM and CatBoost, and a data frame to fit them on."""

import numpy as np
import pandas as pd

RNG = np.random.default_rng(0)


COUNT = 400


LOAD = RNG.normal(100, 20, COUNT)


FRAME = pd.DataFrame(
    {
        "load": LOAD,
        "kind": pd.Categorical(RNG.choice(["red", "blue", "green"], COUNT)),
        "heat": 0.7 * LOAD + RNG.normal(0, 14, COUNT),
        "gear": RNG.integers(1, 6, COUNT),
    }
)


KIND = FRAME["kind"].astype(str)


Y = FRAME["load"] / 10 + KIND.map({"red": 0.0, "blue": 9.0, "green": -9.0}) + FRAME["heat"] / 9 + FRAME["gear"] ** 2


SUFFIX = {"xgboost": ".json", "lightgbm": ".txt", "catboost": ".cbm"}


QUIET = {"verbose": 0, "allow_writing_files": False, "thread_count": 1}


def save(model, library: str, folder, name="model"):
    path = folder / f"{name}{SUFFIX[library]}"
    (model.booster_ if library == "lightgbm" else model).save_model(str(path))
    return path
