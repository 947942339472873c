"""How Optuna searches: the sampler, the pruner, and what the pruner sees."""

from __future__ import annotations

import optuna

from .member import RUNGS


def sampler(seed: int) -> optuna.samplers.BaseSampler:
    """TPE over the joint space, conditional leaves included, aware of trials in flight."""
    return optuna.samplers.TPESampler(
        multivariate=True, group=True, constant_liar=True, n_startup_trials=10, seed=seed % 2**32
    )


def pruner() -> optuna.pruners.BasePruner:
    """Drops the worst quarter at a rung, once ten trials are known; the eager pruners lost the winner."""
    return optuna.pruners.PercentilePruner(
        75.0, n_startup_trials=10, n_warmup_steps=RUNGS // 4, interval_steps=1, n_min_trials=5
    )


def smoothed(curve: list[tuple[int, float]]) -> float:
    """What the pruner sees of a curve: the mean of its last three points."""
    tail = [value for _, value in curve[-3:]]
    return sum(tail) / len(tail)
