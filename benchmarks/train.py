"""Teachers by the paper's recipe, several seeds at once: 1 x 500 tanh, RMSprop 1e-3, decay 1e-5, batch 16, plateau halving."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.recipes.optimizers import EPS, update
from dfkd_tune.students.mlp import MLP

WIDTH, RATE, DECAY, BATCH, EPOCHS = 500, 1e-3, 1e-5, 16, 500
PLATEAU, PATIENCE = 10, 50
"""Epochs without improvement until the rate is halved, and, counted over the whole run, until training stops."""


def train_teachers(
    x: np.ndarray, y: np.ndarray, splits: Sequence[dict[str, np.ndarray]], seeds: Sequence[int]
) -> list[nn.Module]:
    """Train one teacher a split, side by side; each keeps the weights of its best validation epoch.

    As published, the plateau scheduler hears only of epochs that did not improve.
    """
    network, columns, count = MLP(WIDTH), Columns(x.shape[1]), len(splits)
    rngs = [torch.Generator().manual_seed(seed) for seed in seeds]
    start = [network.init_params(columns, 1, rng, torch.float32) for rng in rngs]
    shapes = network.shapes(columns, 1)
    flat = torch.stack([torch.cat([w.flatten() for w in one]) for one in start])
    first, second, gradient = torch.zeros_like(flat), torch.zeros_like(flat), torch.empty_like(flat)
    parts = flat.split([int(np.prod(shape)) for shape in shapes], dim=1)
    leaves = [part.view(count, *shape) for part, shape in zip(parts, shapes, strict=True)]
    rate = torch.full((count, 1), RATE)
    fixed = {
        "keep1": torch.ones(count, 1),
        "keep2": torch.full((count, 1), 0.01),
        "decay": torch.full((count, 1), DECAY),
    }
    data = [
        {part: (torch.from_numpy(x[rows]), torch.from_numpy(y[rows])[:, None]) for part, rows in split.items()}
        for split in splits
    ]
    best = [np.inf] * count
    kept = flat.clone()
    bad, since, worst = [0] * count, [0] * count, [np.inf] * count
    for _ in range(EPOCHS):
        orders = [torch.randperm(len(d["train"][0]), generator=rng) for d, rng in zip(data, rngs, strict=True)]
        for begin in range(0, len(orders[0]), BATCH):
            picks = [order[begin : begin + BATCH] for order in orders]
            rows = torch.stack([d["train"][0][p] for d, p in zip(data, picks, strict=True)])
            goals = torch.stack([d["train"][1][p] for d, p in zip(data, picks, strict=True)])
            answers, tape = network.forward_with_tape(leaves, rows, columns)
            gradients = network.weight_gradients(leaves, tape, (answers - goals) * (2.0 / rows.shape[1]))
            torch.cat([gradient.flatten(1) for gradient in gradients], dim=1, out=gradient)
            update(flat, gradient, first, second, fixed | {"root": 1 / rate, "eps": EPS / rate})
        losses = _valid(network, leaves, columns, data)
        for k, loss in enumerate(losses):
            if bad[k] > PATIENCE:
                continue
            if loss < best[k]:
                best[k], kept[k] = loss, flat[k]
                continue
            bad[k] += 1
            if loss < worst[k] * (1 - 1e-4):
                worst[k], since[k] = loss, 0
            else:
                since[k] += 1
                if since[k] > PLATEAU:
                    rate[k], since[k] = rate[k] * 0.5, 0
        if all(count > PATIENCE for count in bad):
            break
    return [_module(network, kept[k], shapes) for k in range(count)]


def _valid(network: MLP, leaves: list[torch.Tensor], columns: Columns, data: Sequence[dict]) -> list[float]:
    losses = []
    for k, part in enumerate(data):
        rows, goals = part["valid"]
        answers = network.answer([leaf[k : k + 1] for leaf in leaves], rows.unsqueeze(0), columns)
        losses.append(float((answers[0] - goals).square().mean()))
    return losses


def _module(network: MLP, flat: torch.Tensor, shapes: list[tuple[int, ...]]) -> nn.Module:
    parts = flat.split([int(np.prod(shape)) for shape in shapes])
    weights = [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]
    features, outputs = shapes[0][0], shapes[-1][0]
    encoding = Encoding([0.0] * features, [1.0] * features)
    shift, spread = torch.zeros(outputs, dtype=torch.float64), torch.ones(outputs, dtype=torch.float64)
    return network.module(weights, Columns(features), encoding, shift, spread)
