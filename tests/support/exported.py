"""A student in raw units, and what reads its files elsewhere."""

import json
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import nn

from dfkd_tune.export.schema import InputSchema
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.students.rbf import RBF

pytestmark = pytest.mark.usefixtures("undrawn")


NAMES = ["load", "valve", "count"]


MEAN, STD = torch.tensor([1000.0, 0.5, 0.02]), torch.tensor([200.0, 0.5, 0.01])


UNITS = InputSchema(
    NAMES,
    Encoding(MEAN.tolist(), STD.tolist()),
    MEAN + STD * torch.randn(64, 3, generator=torch.Generator().manual_seed(0)),
)


def rows(count: int = 7) -> torch.Tensor:
    return MEAN + STD * torch.randn(count, 3, generator=torch.Generator().manual_seed(3))


def answers_of(file: Path):
    """A file's answers, and the names of its features, by what reads it elsewhere."""
    if file.suffix == ".onnx":
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        about = session.get_modelmeta().custom_metadata_map["features"]
        return lambda x: torch.from_numpy(session.run(["outputs"], {"inputs": x.numpy()})[0]), json.loads(about)
    extra = {"features.json": ""}
    return torch.export.load(file, extra_files=extra).module(), json.loads(extra["features.json"])


def rbf() -> nn.Module:
    made, plain = RBF(width=4), Encoding([0.0] * 3, [1.0] * 3)
    weights = made.init_params(Columns(3), 2, torch.Generator().manual_seed(0), torch.float32)
    return made.module(weights, Columns(3), plain, torch.zeros(2).double(), torch.ones(2).double())


def chain() -> nn.Module:
    """A student in these units, as a chain of layers."""
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    with torch.no_grad():
        made[0].bias -= made[0].weight @ (MEAN / STD)
        made[0].weight /= STD
    return made.eval()
