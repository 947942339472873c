"""The region of inputs that move: a typical row lies at a typical distance, and one that jumps lies far out."""

import torch

from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.testing.problems import make_problem, rng

CHANNELS = [{"name": "temp", "mean": 20.0, "std": 4.0, "autocorrelation": [0.95, 0.86]}, {"name": "flow", "time_constant": 3.0}]  # fmt: skip


def test_the_precision_knows_how_channels_move():
    inputs = parse_features({"window": {"steps": 6, "channels": CHANNELS, "correlation": [[1.0], [0.5, 1.0]]}}, "here")
    problem = make_problem(inputs=inputs)

    def distance(z: torch.Tensor) -> float:
        """Mean squared Mahalanobis distance, in numbers of columns."""
        return float(((z @ problem.geometry.precision) * z).sum(1).mean()) / len(inputs)

    z = inputs.draw(4_000, rng(1))
    assert 0.9 < distance(z) < 1.15  # 512 pool rows
    assert distance(z + 0.5 * torch.randn(z.shape, generator=rng(2), dtype=z.dtype)) > 1.8
    shuffled = z[:, torch.randperm(len(inputs), generator=rng(3))]
    assert distance(shuffled) > 2
