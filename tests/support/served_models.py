"""Small registered models: with named features, without names, with levels and missing values, and with declared columns."""

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
PLAIN = {
    "outputs": 2,
    "dtype": "float32",
    "levels": {},
    "types": {},
    "gapped": [],
    "domain": None,
    "example": ROWS.tolist(),
}
MIXED = {
    "features": ["load", "grade", "gate", "rank"],
    "outputs": 4,
    "dtype": "float64",
    "gapped": [],
    "domain": None,
    "types": {},
    "levels": {"grade": ["low", "high", None, "01", "true"], "gate": [1, 2.5, 7, None], "rank": [1, 2, "other"]},
    "example": [[1.5, 0.0, 1.0, 2.0], [2.5, float("nan"), float("nan"), 1.0]],
}
TYPED = {
    "features": ["load", "count", "valve", "grade", "gate", "flow", "flag"],
    "outputs": 7,
    "dtype": "float64",
    "gapped": ["flow"],
    "domain": None,
    "types": {"count": "long", "valve": "long", "flag": "boolean"},
    "levels": {"grade": ["low", "01", "true", None], "gate": [1.0, 2.5, None]},
    "example": [[1.5, 3.0, 1.0, 0.0, 1.0, None, 1.0], [2.5, 4.0, 0.0, None, None, 0.25, 0.0]],
}
"""Columns of every type that a signature declares."""
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
    """Save models in folders: ``named``, ``plain`` without names, ``mixed`` with levels and missing values.

    The signatures of ``typed`` and ``typed_plain`` declare the columns.
    """
    bare = PLAIN | {"features": ["x0", "x1", "x2"]}
    model_files.save(folder / "named", network(), PLAIN | {"features": NAMES}, Model())
    model_files.save(folder / "plain", network(), bare, Model())
    model_files.save(folder / "mixed", Echo(), MIXED, Model())
    model_files.save(folder / "typed", Echo(), TYPED, Model(), typed=True)
    model_files.save(folder / "typed_plain", network(), bare | {"types": {"x2": "long"}}, Model(), typed=True)


def refuses(model, given, *words: str) -> None:
    with pytest.raises(MlflowException) as refused:
        model.predict(given)
    assert refused.value.get_http_status_code() == 400
    assert all(word in refused.value.message for word in words), refused.value.message
    assert len(refused.value.message.splitlines()) == 1
