"""Autocorrelations of a stationary process: the nearest that a process can have, continued beyond the last lag.

A Toeplitz matrix of the autocorrelations must be positive definite. ``nearest`` alternates between the positive definite
and the Toeplitz matrices (Dykstra 1983). ``continued`` goes on as the autoregressive process does whose order is the number
of lags: the continuation of maximum entropy (Burg 1975), which is positive definite where the beginning is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dfkd_tune.inputs.dependence.copula import LEAST_EIGENVALUE, alternated


def toeplitz(r: Tensor) -> Tensor:
    """The symmetric Toeplitz matrix ``(T, T)`` whose first row is ``r``."""
    lags = torch.arange(len(r))
    return r[(lags[:, None] - lags).abs()]


def nearest(r: Tensor) -> Tensor:
    """Autocorrelations ``(T,)`` from lag 0 with a positive definite Toeplitz matrix, near the given ones."""
    matrix = toeplitz(r)
    if float(torch.linalg.eigvalsh(matrix)[0]) >= LEAST_EIGENVALUE:
        return r
    matrix = alternated(matrix, _stationary)
    r, least = matrix[0], float(torch.linalg.eigvalsh(matrix)[0])
    share = max(0.0, (LEAST_EIGENVALUE - least) / (1 - least))  # of white noise
    return torch.cat([r[:1], (1 - share) * r[1:]])


def _stationary(matrix: Tensor) -> Tensor:
    """The nearest Toeplitz matrix ``(T, T)`` of numbers from -1 to 1 with a diagonal of 1."""
    lags = [matrix.diagonal(lag).mean() for lag in range(1, len(matrix))]
    return toeplitz(torch.stack([matrix.new_ones(()), *lags]).clamp(-1, 1))


def continued(r: Tensor, steps: int) -> Tensor:
    """Autocorrelations ``(steps,)`` from lag 0 that begin with ``r``, which must have a positive definite matrix."""
    order = len(r) - 1
    if order == 0 or len(r) >= steps:
        return torch.cat([r, r.new_zeros(max(0, steps - len(r)))])[:steps]
    weights = torch.linalg.solve(toeplitz(r[:-1]), r[1:]).flip(0)
    every = torch.cat([r, r.new_zeros(steps - len(r))])
    for lag in range(len(r), steps):
        every[lag] = every[lag - order : lag] @ weights
    return every


def square_root(r: Tensor) -> Tensor:
    """The symmetric square root ``(T, T)`` of the Toeplitz matrix of ``r``; rounding below zero counts as zero."""
    eigenvalues, vectors = torch.linalg.eigh(toeplitz(r))
    return (vectors * eigenvalues.clamp(min=0).sqrt()) @ vectors.T
