"""Rows and helpers that the teachers of ``matrix_teachers.py`` share: a table of weather, and what a teacher is to a user.

Networks take standardized inputs, all others raw ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from series import SOURCES
from torch import Tensor, nn

NUMBERS = ["dewp", "humid", "wind_speed", "precip", "pressure", "visib"]
WORDS = ["origin", "season"]
TARGET = "temp"
ROWS = 6_000
"""Rows of the table; a quarter is held out."""
NOTHING = "nothing"
DESCRIBED = "`describe --missing level` of the table"


@dataclass(frozen=True)
class Case:
    """A teacher as a user has it.

    Args:
        source: its path or address.
        held: held-out inputs: tensors for each argument, or a frame of named columns.
        lines: what a user writes beside the path, in words.
        features: content of the features file, or a frame that ``describe`` reads; None for nothing.
        trusted: whether it is a pickle.
    """

    source: str
    held: Sequence[Tensor] | pd.DataFrame
    lines: str = NOTHING
    features: Any = None
    trusted: bool = False
    stop: Callable[[], None] = field(default=lambda: None, repr=False)


@lru_cache(maxsize=1)
def table() -> tuple[pd.DataFrame, pd.Series, np.ndarray]:
    """Hourly weather with missing pressures, its temperature, and a mask of the training rows."""
    rows = pd.read_csv(SOURCES["weather"].path)
    rows = rows[rows[[*NUMBERS[:4], "visib", TARGET]].notna().all(axis=1) & (rows["wind_speed"] < 100)]
    rows = rows.sample(ROWS, random_state=0).reset_index(drop=True)
    seasons = ["winter", "spring", "summer", "autumn"]
    frame = (
        rows[NUMBERS]
        .astype(float)
        .assign(origin=rows["origin"].astype(str), season=[seasons[month % 12 // 3] for month in rows["month"]])
    )
    return frame[[*WORDS, *NUMBERS]], rows[TARGET].astype(float), np.arange(ROWS) % 4 > 0


def standardized() -> tuple[Tensor, Tensor, Tensor]:
    """Numbers ``(N, 6)`` without missing values, codes of the airports ``(N,)`` and temperatures ``(N,)``, standardized."""
    frame, y, train = table()
    x = frame[NUMBERS].fillna(frame[NUMBERS].median())
    x, y = (x - x[train].mean()) / x[train].std(), (y - y[train].mean()) / y[train].std()
    site = frame["origin"].astype("category").cat.codes
    return torch.tensor(x.to_numpy("f4")), torch.tensor(site.to_numpy("i8")), torch.tensor(y.to_numpy("f4"))


def split(*tensors: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Training rows and held-out rows of each."""
    train = torch.from_numpy(table()[2])
    return [each[train] for each in tensors], [each[~train] for each in tensors]


def trained(network: nn.Module, x: Sequence[Tensor], y: Tensor, epochs: int = 12) -> nn.Module:
    """Train a network on arguments ``x`` and goals ``y`` ``(N,)``, or ``(N, O)``; its outputs may be nested."""
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    rng = torch.Generator().manual_seed(0)
    goal = y.reshape(len(y), -1)
    for _ in range(epochs):
        for part in torch.randperm(len(y), generator=rng).split(64):
            optimizer.zero_grad()
            out = flat(network(*(each[part] for each in x)))
            (out - goal[part]).square().mean().backward()
            optimizer.step()
    return network.eval().requires_grad_(False)


def flat(out: Any) -> Tensor:
    """The outputs of a network as rows ``(N, O)``."""
    leaves = torch.utils._pytree.tree_leaves(out)
    return torch.cat([leaf.reshape(len(leaf), -1) for leaf in leaves], dim=1)


def perceptron(outputs: int = 1) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 128), nn.Tanh(), nn.Linear(128, 64), nn.Tanh(), nn.Linear(64, outputs))
