"""Teachers as users have them, trained on real tables and kept as files: networks of several shapes, trees, a Gaussian process.

For benchmarks alone. Each is fitted to the training rows, networks with early stopping on the validation rows, and loaded
from its file as any user's teacher is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

RATE, BATCH, EPOCHS, PATIENCE = 1e-3, 64, 200, 20
"""Of Adam; epochs without a better validation loss until a network keeps its best weights."""
PROCESS_ROWS = 1_000
"""Training rows of the Gaussian process, whose answers cost as many kernel values each."""


class Average(nn.Module):
    """The mean answer of several networks ``(N, D) -> (N, O)``."""

    def __init__(self, members: list[nn.Module]):
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([member(x) for member in self.members]).mean(0)


def perceptron(
    features: int, outputs: int, widths: list[int], layer: Callable[[int], list[nn.Module]]
) -> nn.Sequential:
    """Linear layers of the given widths, each followed by what ``layer`` makes of its width."""
    parts: list[nn.Module] = []
    for width in widths:
        parts += [nn.Linear(features, width), *layer(width)]
        features = width
    return nn.Sequential(*parts, nn.Linear(features, outputs))


def fit(network: nn.Module, x: Tensor, y: Tensor, rows: dict[str, np.ndarray], rng: torch.Generator) -> nn.Module:
    """Train a network on the training rows and keep its best epoch on the validation rows."""
    optimizer, best, bad = torch.optim.Adam(network.parameters(), lr=RATE), np.inf, 0
    kept = network.state_dict()
    train, valid = (torch.from_numpy(rows[part]) for part in ("train", "valid"))
    for _ in range(EPOCHS):
        network.train()
        for part in train[torch.randperm(len(train), generator=rng)].split(BATCH):
            if len(part) < 2:
                continue  # batch normalization has no spread of one row
            optimizer.zero_grad()
            (network(x[part]) - y[part]).square().mean().backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            loss = float((network(x[valid]) - y[valid]).square().mean())
        if loss < best:
            best, bad, kept = loss, 0, {name: value.clone() for name, value in network.state_dict().items()}
        elif (bad := bad + 1) > PATIENCE:
            break
    network.load_state_dict(kept)
    return network.eval().requires_grad_(False)


def targets(x: Tensor, y: Tensor) -> Tensor:
    """Three targets ``(N, 3)`` of unlike shape: ``y``, ``tanh(y) + x0 tanh(x1) / 2`` and ``sin(2 y)``."""
    return torch.stack([y, torch.tanh(y) + 0.5 * x[:, 0] * torch.tanh(x[:, 1]), torch.sin(2 * y)], dim=1)


def relu_norm(features: int, outputs: int) -> nn.Module:
    """Three layers of 256 ReLU units behind batch normalization."""
    return perceptron(features, outputs, [256] * 3, lambda width: [nn.BatchNorm1d(width), nn.ReLU()])


def tanh(features: int, outputs: int, width: int) -> nn.Module:
    """One layer of tanh units."""
    return perceptron(features, outputs, [width], lambda _: [nn.Tanh()])


def network(kind: str, x: Tensor, y: Tensor, rows: dict[str, np.ndarray], seed: int) -> nn.Module:
    """A trained network of one of ``NETWORKS``."""
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    goals = targets(x, y) if kind == "three outputs" else y[:, None]
    size = (x.shape[1], goals.shape[1])
    if kind == "average of five tanh":
        return Average([fit(tanh(*size, 200), x, goals, rows, rng) for _ in range(5)]).eval()
    made = {
        "relu 3x256 batch norm": lambda: relu_norm(*size),
        "tanh 1x2000": lambda: tanh(*size, 2_000),
        "three outputs": lambda: perceptron(*size, [256] * 2, lambda _: [nn.SiLU()]),
    }[kind]()
    return fit(made, x, goals, rows, rng)


def estimator(kind: str, x: np.ndarray, y: np.ndarray, rows: dict[str, np.ndarray], seed: int):
    """A fitted scikit-learn estimator of one of ``ESTIMATORS``."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    train = rows["train"]
    if kind == "boosted trees":
        return HistGradientBoostingRegressor(max_iter=200, random_state=seed).fit(x[train], y[train])
    train = np.random.default_rng(seed).permutation(train)[:PROCESS_ROWS]
    kernel = ConstantKernel(1.0) * RBF(np.sqrt(x.shape[1])) + WhiteKernel(0.1)
    return GaussianProcessRegressor(kernel, random_state=seed).fit(x[train].astype(np.float64), y[train])


NETWORKS = ("relu 3x256 batch norm", "average of five tanh", "tanh 1x2000", "three outputs")
ESTIMATORS = ("boosted trees", "gaussian process")
TEACHER_DEFAULTS = NETWORKS + ESTIMATORS


def kept(kind: str, dataset: str, shared: Path, cache: Path, seed: int) -> Path:
    """The file of a teacher, trained where the cache has none yet."""
    cache.mkdir(parents=True, exist_ok=True)
    ending = "pt2" if kind in NETWORKS else "skops"
    file = cache / f"{dataset}-{kind.replace(' ', '-')}-{seed}.{ending}"
    if file.exists():
        return file
    arrays = np.load(Path(shared) / "data" / f"{dataset}.npz")
    rows = {part: arrays[part] for part in ("train", "valid")}
    if kind in NETWORKS:
        x, y = torch.from_numpy(arrays["X"]), torch.from_numpy(arrays["y"])
        made = network(kind, x, y, rows, seed)
        batch = torch.export.Dim("batch", min=1, max=10_000_000)
        program = torch.export.export(made, (x[:2],), dynamic_shapes=({0: batch},))
        torch.export.save(program, file)
    else:
        from skops.io import dump

        dump(estimator(kind, arrays["X"], arrays["y"], rows, seed), file)
    return file
