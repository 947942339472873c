"""Bins are narrow where the outputs change, and of equally many rows where nothing changes."""

import torch

from dfkd_tune.generators.learned.bins import bins_of, edges_of

ROWS = torch.randn(4_000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_bins_are_narrow_where_the_outputs_change():
    edges = edges_of(ROWS, torch.tanh(20 * (ROWS[:, :1] - 1)), 6)
    assert ((edges[0] > 0.7) & (edges[0] < 1.3)).sum() >= 2
    assert ((edges[1] > 0.7) & (edges[1] < 1.3)).sum() <= 1
    assert (edges.diff(dim=1) >= 0).all()


def test_bins_of_a_constant_are_quantiles():
    counts = bins_of(ROWS, edges_of(ROWS, torch.zeros(len(ROWS), 1).double(), 4)).flatten().bincount(minlength=12)
    assert ((counts - len(ROWS) / 4).abs() < 0.05 * len(ROWS)).all()


def test_bins_are_numbered_through_all_features_for_each_member():
    edges = torch.stack([torch.zeros(3, 1), torch.ones(3, 1)]).double()
    z = torch.tensor([[-1.0, 0.5, 2.0]]).double().expand(2, 1, 3)
    assert bins_of(z, edges).tolist() == [[[0, 3, 5]], [[0, 2, 5]]]
