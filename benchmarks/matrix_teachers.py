"""Teachers of every form that the tool takes, trained on real data in seconds, each with its held-out inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from matrix_data import Case
from matrix_endpoints import inference, scoring
from matrix_networks import graph, half, images, mixed, window
from matrix_tables import boosted, skops

CASES: dict[str, Callable[[Path], Case]] = {
    "LSTM": lambda folder: window("lstm", folder),
    "GRU": lambda folder: window("gru", folder),
    "TCN": lambda folder: window("tcn", folder),
    "Transformer": lambda folder: window("transformer", folder),
    "CNN": images,
    "CNN, batch normalization": lambda folder: images(folder, norm=True),
    "numbers and an embedding": mixed,
    "dict in, dict out": lambda folder: mixed(folder, nested=True),
    "float64": lambda folder: half(folder, torch.float64),
    "bfloat16": lambda folder: half(folder, torch.bfloat16),
    "ONNX, channels last": lambda folder: images(folder, last=True),
    "ONNX, one input a column": lambda folder: graph(folder, columns=True),
    "ONNX, two outputs": lambda folder: graph(folder, columns=False),
    "pipeline, words and missing values": skops,
    "XGBoost": lambda folder: boosted(folder, "xgboost", words=False),
    "LightGBM": lambda folder: boosted(folder, "lightgbm", words=False),
    "CatBoost": lambda folder: boosted(folder, "catboost", words=False),
    "XGBoost, categories": lambda folder: boosted(folder, "xgboost", words=True),
    "LightGBM, categories": lambda folder: boosted(folder, "lightgbm", words=True),
    "CatBoost, categories": lambda folder: boosted(folder, "catboost", words=True),
    "MLflow's scoring server": scoring,
    "Open Inference Protocol": inference,
}
"""Row of the table -> what makes its teacher in a folder."""
