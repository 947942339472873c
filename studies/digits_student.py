"""The student of the digits case: a convolutional network smaller than its teacher."""

from __future__ import annotations

from torch import nn

SIDE = 8


def cnn(features: int, outputs: int) -> nn.Sequential:
    """A network from standardized pixels ``(N, 64)``, row by row, to ``(N, outputs)``: 4 filters and 16 hidden units."""
    if features != SIDE * SIDE:
        raise ValueError(f"takes {SIDE} x {SIDE} pixels, not {features} features")
    return nn.Sequential(
        nn.Unflatten(1, (1, SIDE, SIDE)),
        nn.Conv2d(1, 4, 3, stride=2, padding=1),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(4 * (SIDE // 2) ** 2, 16),
        nn.Tanh(),
        nn.Linear(16, outputs),
    )
