"""Teachers over windows, trained on real series and kept as files: a GRU, a TCN and a Transformer.

For benchmarks alone. Each takes standardized windows ``(N, steps, channels)``, and is loaded from its file as any user's is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from series import STEPS, Series
from torch import Tensor, nn
from torch.nn import functional as F

EPOCHS, BATCH, RATE, MOST = 8, 64, 2e-3, 20_000
"""Of Adam with a falling rate; training windows at most."""


class Recurrent(nn.Module):
    """A GRU or an LSTM, read at its last step."""

    def __init__(self, channels: int, width: int = 64, cell: type[nn.RNNBase] = nn.GRU):
        super().__init__()
        self.cell, self.out = cell(channels, width, batch_first=True), nn.Linear(width, 1)

    def forward(self, window: Tensor) -> Tensor:
        return self.out(self.cell(window)[0][:, -1])


class TCN(nn.Module):
    """Residual layers of causal, dilated convolutions, read at the last step (Bai et al. 2018)."""

    def __init__(self, channels: int, width: int = 32, layers: int = 4):
        super().__init__()
        self.first, self.out = nn.Conv1d(channels, width, 1), nn.Linear(width, 1)
        self.layers = nn.ModuleList(nn.Conv1d(width, width, 3, dilation=2**i) for i in range(layers))

    def forward(self, window: Tensor) -> Tensor:
        h = self.first(window.mT)
        for i, layer in enumerate(self.layers):
            h = h + F.relu(layer(F.pad(h, (2 * 2**i, 0))))
        return self.out(h[:, :, -1])


class Transformer(nn.Module):
    """Two layers of attention with learned positions, read at the last step."""

    def __init__(self, channels: int, width: int = 32, heads: int = 4, layers: int = 2):
        super().__init__()
        self.first, self.out = nn.Linear(channels, width), nn.Linear(width, 1)
        self.places = nn.Parameter(0.02 * torch.randn(STEPS, width))
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, 0.0, F.gelu, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, window: Tensor) -> Tensor:
        return self.out(self.layers(self.first(window) + self.places)[:, -1])


KINDS: dict[str, Callable[[int], nn.Module]] = {"gru": Recurrent, "tcn": TCN, "transformer": Transformer}


def fit(network: nn.Module, x: Tensor, y: Tensor, rng: torch.Generator, epochs: int = EPOCHS) -> nn.Module:
    """Train a network on windows ``(N, steps, channels)`` and targets ``(N,)``."""
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    steps = epochs * -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(epochs):
        for part in torch.randperm(len(x), generator=rng).split(BATCH):
            optimizer.zero_grad()
            (network(x[part])[:, 0] - y[part]).square().mean().backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return network.eval().requires_grad_(False)


def kept(kind: str, name: str, series: Series, cache: Path, seed: int) -> Path:
    """The file of a teacher, trained where the cache has none yet."""
    cache.mkdir(parents=True, exist_ok=True)
    file = cache / f"{name}-{kind}-{seed}.pt2"
    if not file.exists():
        torch.manual_seed(seed)
        rng = torch.Generator().manual_seed(seed)
        rows = torch.randperm(len(series.train), generator=rng)[:MOST]
        x, y = torch.from_numpy(series.train)[rows], torch.from_numpy(series.goals)[rows]
        made = fit(KINDS[kind](x.shape[2]), x, y, rng)
        batch = torch.export.Dim("batch", min=1)
        torch.export.save(torch.export.export(made, (x[:2],), dynamic_shapes=({0: batch},)), file)
    return file
