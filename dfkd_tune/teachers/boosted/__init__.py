"""Boosted trees in the files of their own libraries: XGBoost, LightGBM, CatBoost."""
