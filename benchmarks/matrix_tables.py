"""Teachers over named columns: a scikit-learn pipeline with words and missing values, and boosted trees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matrix_data import DESCRIBED, NUMBERS, WORDS, Case, table


def pipeline() -> Any:
    """A fitted pipeline over named columns with words and missing values."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame, y, train = table()
    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    encode = ColumnTransformer([("words", OneHotEncoder(), WORDS), ("numbers", numbers, NUMBERS)])
    return make_pipeline(encode, MLPRegressor(hidden_layer_sizes=(64,), max_iter=60, random_state=0)).fit(
        frame[train], y[train]
    )


def skops(folder: Path) -> Case:
    from skops.io import dump

    frame, _, train = table()
    dump(pipeline(), folder / "pipeline.skops")
    return Case(str(folder / "pipeline.skops"), frame[~train], DESCRIBED, frame[train])


def boosted(folder: Path, library: str, words: bool) -> Case:
    """Boosted trees in their library's own format, over numbers or also over categories."""
    frame, y, train = table()
    frame = frame if words else frame[NUMBERS]
    held = frame[~train].dropna()  # nothing is declared of missing values, so that the student takes none
    given = frame.astype(dict.fromkeys(WORDS, "category")) if words and library != "catboost" else frame
    name = folder / f"{library}-{words}"
    if library == "xgboost":
        from xgboost import XGBRegressor

        file = name.with_suffix(".ubj")
        XGBRegressor(n_estimators=100, max_depth=5, n_jobs=1, enable_categorical=words).fit(
            given[train], y[train]
        ).save_model(str(file))
    elif library == "lightgbm":
        from lightgbm import LGBMRegressor

        file = name.with_suffix(".txt")
        LGBMRegressor(verbose=-1, n_jobs=1).fit(given[train], y[train]).booster_.save_model(str(file))
    else:
        from catboost import CatBoostRegressor

        file = name.with_suffix(".cbm")
        model = CatBoostRegressor(iterations=200, verbose=0, allow_writing_files=False, thread_count=1)
        model.fit(given[train], y[train], cat_features=WORDS if words else None).save_model(str(file))
    if words and library == "catboost":  # its file holds hashes of the words
        named = [{"name": name, "levels": sorted(frame[name].unique())} for name in WORDS]
        return Case(str(file), held, "levels of the words", {"features": [*named, *NUMBERS]})
    return Case(str(file), held)
