"""Autocorrelations that a process can have: left alone if they are, else moved a little; continued as a process goes on."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dfkd_tune.inputs.dependence.stationary import continued, nearest, square_root, toeplitz

LAGS = st.lists(st.floats(-1, 1), min_size=1, max_size=7)


def from_lag_0(lags) -> torch.Tensor:
    return torch.tensor([1.0, *lags], dtype=torch.float64)


def of_ar2(a: float, b: float, lags: int) -> torch.Tensor:
    """Autocorrelations of ``x_t = a x_(t-1) + b x_(t-2) + e_t``, by Yule and Walker."""
    r = [1.0, a / (1 - b)]
    for _ in range(lags - 1):
        r.append(a * r[-1] + b * r[-2])
    return torch.tensor(r[: lags + 1], dtype=torch.float64)


@given(LAGS)
@settings(max_examples=60, deadline=None)
def test_any_numbers_lead_to_a_process(lags):
    r = nearest(from_lag_0(lags))
    every = continued(r, 20)
    assert r[0] == every[0] == 1 and torch.equal(every[: len(r)], r)
    assert float(torch.linalg.eigvalsh(toeplitz(every))[0]) > -1e-9 and every.abs().max() <= 1 + 1e-9


@given(LAGS)
@settings(max_examples=30, deadline=None)
def test_what_is_a_process_stays(lags):
    r = nearest(from_lag_0(lags))
    torch.testing.assert_close(nearest(r), r, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("a", "b"), [(0.8, 0.0), (1.6, -0.68), (0.1, 0.85), (-0.9, 0.0)])
def test_two_lags_are_continued_as_the_autoregressive_process_of_order_two(a, b):
    torch.testing.assert_close(continued(of_ar2(a, b, 2), 30), of_ar2(a, b, 29))


def test_rounded_autocorrelations_of_a_smooth_process_move_by_their_rounding():
    lags = torch.exp(-0.5 * (torch.arange(24, dtype=torch.float64) / 12) ** 2)
    rounded = (lags * 1000).round() / 1000
    assert float(torch.linalg.eigvalsh(toeplitz(rounded))[0]) < -1e-4  # no process has them
    assert (nearest(rounded) - lags).abs().max() < 1.5e-3


def test_nothing_told_is_white_noise():
    assert continued(from_lag_0([]), 4).tolist() == [1, 0, 0, 0]
    assert continued(from_lag_0([0.5]), 1).tolist() == [1]


def test_the_square_root():
    matrix = toeplitz(of_ar2(1.6, -0.68, 11))
    root = square_root(of_ar2(1.6, -0.68, 11))
    torch.testing.assert_close(root, root.T)
    torch.testing.assert_close(root @ root, matrix)
    assert np.linalg.eigvalsh(root.numpy())[0] > 0
