"""Train the digits teacher: a convolutional network that reads the value of a handwritten digit, as a regression.

Notation: pixels ``x (N, 64)``, 0 to 16, row by row; value ``y (N,)``, 0 to 9. The images are the 1,797 real ones that
scikit-learn ships (a part of the Optical Recognition of Handwritten Digits of Alpaydin & Kaynak 1998). It is the image
regression of Zhou & Chiam 2023, smaller. This is the one place that reads rows; the distillation sees the teacher, and
the mean and deviation of every pixel.
"""

from __future__ import annotations

import argparse
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from sklearn.datasets import load_digits
from torch import Tensor, nn

from dfkd_tune.ops.pt2_archive import to_pt2

SIDE, BRIGHTEST = 8, 16.0
EPOCHS, BATCH, RATE = 80, 32, 2e-3


@dataclass(frozen=True)
class Digits:
    """Real images.

    Args:
        x: ``(N, 64)`` float32.
        y: ``(N,)`` float32.
    """

    x: Tensor
    y: Tensor

    @classmethod
    def load(cls) -> Digits:
        x, y = load_digits(return_X_y=True)
        return cls(torch.from_numpy(x).float(), torch.from_numpy(y).float())

    def split(self, seed: int) -> dict[str, Tensor]:
        """Row indices: two thirds to train, a tenth to choose the epoch, the rest to test."""
        order = torch.randperm(len(self.x), generator=torch.Generator().manual_seed(seed))
        train, valid = round(len(order) * 2 / 3), round(len(order) / 10)
        return dict(zip(("train", "valid", "test"), order.tensor_split((train, train + valid)), strict=True))


class Reader(nn.Module):
    """The teacher, from raw pixels ``(N, 64)`` to ``(N, 1)``; optionally with batch normalization after its convolutions."""

    def __init__(self, normalized: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            *([nn.BatchNorm2d(8)] if normalized else []),
            nn.Tanh(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
            *([nn.BatchNorm2d(16)] if normalized else []),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(16 * (SIDE // 2) ** 2, 64),
            nn.Tanh(),
            nn.Linear(64, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers((x / (BRIGHTEST / 2) - 1).reshape(-1, 1, SIDE, SIDE))


def rmse(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """Root mean square error in units of the digit."""
    with torch.no_grad():
        return float((net(x)[:, 0] - y).square().mean().sqrt())


def train(
    digits: Digits, split: dict[str, Tensor], seed: int, epochs: int = EPOCHS, normalized: bool = False
) -> nn.Module:
    """Train on the rows ``train``; keep the weights of the epoch that was best on the rows ``valid``."""
    torch.manual_seed(seed)
    net = Reader(normalized)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    x, y = digits.x[split["train"]], digits.y[split["train"]]
    best, kept = float("inf"), deepcopy(net.state_dict())
    for _ in range(epochs):
        net.train()
        for rows in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            (net(x[rows])[:, 0] - y[rows]).square().mean().backward()
            optimizer.step()
        schedule.step()
        net.eval()
        valid = rmse(net, digits.x[split["valid"]], digits.y[split["valid"]])
        if valid < best:
            best, kept = valid, deepcopy(net.state_dict())
    net.load_state_dict(kept)
    return net.eval().requires_grad_(False)


def describe(x: Tensor) -> dict:
    """What ``features.yaml`` says of images ``(N, 64)``; a pixel that hardly ever differs is declared constant."""
    mean, std = ([round(value, 2) for value in values.tolist()] for values in (x.mean(0), x.std(0)))
    return {"grid": {"height": SIDE, "width": SIDE, "range": [0, int(BRIGHTEST)], "mean": mean, "std": std}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of the split and of the start")
    parser.add_argument("--out", type=Path, default=Path("studies"), help="folder for teacher and features")
    options = parser.parse_args()
    torch.set_num_threads(1)
    digits = Digits.load()
    split = digits.split(options.seed)
    net = train(digits, split, options.seed)
    print(f"test RMSE {rmse(net, digits.x[split['test']], digits.y[split['test']]):.4f} (labels: {digits.y.std():.4f})")
    path = options.out / "digits_teacher.pt2"
    path.write_bytes(to_pt2(net, torch.zeros(2, SIDE * SIDE)))
    print(f"{path}: {path.stat().st_size} bytes")
    comment = "# Inputs of the digits teacher: 8 x 8 pixels, row by row, with the mean and deviation of each.\n"
    text = yaml.safe_dump(describe(digits.x[split["train"]]), sort_keys=False, default_flow_style=None, width=100)
    (options.out / "digits_features.yaml").write_text(comment + text)


if __name__ == "__main__":
    main()
