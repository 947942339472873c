"""Coefficients that change from step to step: the weights of a batch's halves, and those of the optimizers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dfkd_tune.recipes.mixing import Mix
from dfkd_tune.recipes.optimizers import EPS, average_share, rate_at
from dfkd_tune.training.member import Member
from dfkd_tune.training.stepping.cuda_graph import on_device


def schedules(members: Sequence[Member], batch: int, count: int, like: Tensor) -> list[Tensor]:
    """The coefficients of the next ``count`` steps of K members.

    Args:
        members: of one cohort.
        batch: rows of a batch.
        count: steps.
        like: gives dtype and device of the result.

    Returns:
        The weight in the loss of a row of each half, ``(count, K, 2)``; ``root``, ``eps`` and ``shrink`` of the update, and the share
        of the weights in their moving average, ``(count, K, 1)`` each.
    """
    mix, root, eps, shrink, fresh = np.empty((5, len(members), count))
    for k, member in enumerate(members):
        recipe, now, steps = member.recipe, member.clock + np.arange(count), member.steps
        first, second = recipe.optimizer.corrections(now)
        rate = rate_at(recipe.optimizer, now, steps)
        shrink[k] = 1.0 - rate * recipe.optimizer.decoupled_decay
        fresh[k] = average_share(recipe.optimizer.average_decay, now)
        rate = rate / first
        mix[k] = 0.5 if Mix.of(recipe.alpha) != Mix.BOTH else recipe.alpha.at(now, steps)
        root[k], eps[k] = 1.0 / (np.sqrt(second) * rate), EPS / rate
    shares = np.stack([mix, 1.0 - mix], axis=-1) * (2 / batch)
    parts = (shares.swapaxes(0, 1), *(each.T[..., None] for each in (root, eps, shrink, fresh)))
    return [on_device(torch.tensor(part, dtype=like.dtype), like.device) for part in parts]
