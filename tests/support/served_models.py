"""Small registered models in three kinds: with named features, without names, and with levels and missing values."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from torch import nn

from dfkd_tune.registry import model_files

NAMES = ["load", "valve", "count"]
ROWS = np.array([[1050.0, 1.0, 3.0], [900.0, 0.0, 7.0], [1210.0, 1.0, 0.0]])
PLAIN = {"outputs": 2, "dtype": "float32", "levels": {}, "gapped": [], "domain": None, "example": ROWS.tolist()}
MIXED = {
    "features": ["load", "grade", "gate", "rank"],
    "outputs": 4,
    "dtype": "float64",
    "gapped": [],
    "domain": None,
    "levels": {"grade": ["low", "high", None, "01", "true"], "gate": [1, 2.5, 7, None], "rank": [1, 2, "other"]},
    "example": [[1.5, 0.0, 1.0, 2.0], [2.5, float("nan"), float("nan"), 1.0]],
}
FAR = 1_700_000_000.125
"""What float32 rounds to a multiple of 128."""


class Echo(nn.Module):
    """Answers its inputs, -7 where they are missing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.nan_to_num(nan=-7.0) * 1.0


def network(features: int = 3, outputs: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(features, 8), nn.Tanh(), nn.Linear(8, outputs)).eval()


def answers_of(rows: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return network()(torch.from_numpy(rows).float()).numpy()


def save_models(folder: Path) -> None:
    """Save models in folders: ``named``, ``plain`` without names, ``mixed`` with levels and missing values."""
    model_files.save(folder / "named", network(), PLAIN | {"features": NAMES}, Model())
    model_files.save(folder / "plain", network(), PLAIN | {"features": ["x0", "x1", "x2"]}, Model())
    model_files.save(folder / "mixed", Echo(), MIXED, Model())


def refuses(model, given, *words: str) -> None:
    with pytest.raises(MlflowException) as refused:
        model.predict(given)
    assert refused.value.get_http_status_code() == 400
    assert all(word in refused.value.message for word in words), refused.value.message
    assert len(refused.value.message.splitlines()) == 1
