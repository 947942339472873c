"""What the endpoint of two features answers, and features files for it."""

from pathlib import Path

import torch

ROWS = torch.randn(257, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


TWO = "features: [a, {name: b, range: [-9, 9]}]"


def truth(x: torch.Tensor, shift: float = 0.0) -> torch.Tensor:
    return torch.stack([2 * x[:, 0] + x[:, 1] ** 2 + shift, -x[:, 0]], dim=1)


def declared(folder: Path, text: str) -> Path:
    (folder / "features.yaml").write_text(text)
    return folder / "features.yaml"
