"""A small network as teacher files of every format, and what their tests share."""

from functools import partial
from pathlib import Path

import torch
from asked import fails as told
from torch import nn

from dfkd_tune.errors import TeacherError
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.teachers.base import Teacher

NETWORKS = (".bin", ".pt", ".pt2", ".pth", ".safetensors", ".ts")


FEATURES, HIDDEN, OUTPUTS = 3, 8, 2
fails = partial(told, kind=TeacherError)


THREE = Inputs.unknown(FEATURES)


ROWS = torch.randn(16, FEATURES, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def network(dtype=torch.float64) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, OUTPUTS)).to(dtype)


def save_pt2(module: nn.Module, path: Path, rows=None, dtype=torch.float64) -> Path:
    """Export with any batch size, or with exactly ``rows``."""
    shapes = ({0: torch.export.Dim("batch", min=1)},) if rows is None else None
    x = torch.zeros(rows or 2, FEATURES, dtype=dtype)
    torch.export.save(torch.export.export(module.eval(), (x,), dynamic_shapes=shapes), path)
    return path


def save_architecture(folder: Path, text=f"layers: [{FEATURES}, {HIDDEN}, {OUTPUTS}]") -> Path:
    path = folder / "architecture.yaml"
    path.write_text(text)
    return path


class Payload:
    """Opens the marker for writing when it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


def answers(teacher: Teacher) -> torch.Tensor:
    with torch.no_grad():
        return teacher(ROWS)


def wide(seed: int) -> nn.Sequential:
    """Large enough that torch writes its weights beside the graph."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(FEATURES, 512), nn.Tanh(), nn.Linear(512, 1)).eval().requires_grad_(False)
