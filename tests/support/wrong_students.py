"""Students that are wrong in a known place."""

import torch
from torch import nn

from dfkd_tune import Feature, Inputs

PLACE = torch.tensor([0.9, -0.4, 0.2, 0.5], dtype=torch.float64)


class Student(nn.Module):
    """A teacher with something added."""

    def __init__(self, teacher, added):
        super().__init__()
        self.teacher, self.added = teacher, added
        self.register_buffer("wide", torch.zeros(1, dtype=torch.float64))

    def forward(self, x):
        return self.teacher(x) + self.added(x)


def bump(size=3.0, width=0.25, outputs=1):
    """A bump of the last output, far narrower than the prior."""

    def added(x):
        height = size * torch.exp(-((x - PLACE) / width).square().sum(1) / 2)
        return torch.stack([torch.zeros_like(height)] * (outputs - 1) + [height], dim=1)

    return added


SHARES = Inputs([Feature(name=f"share {i}", mean=0.25, std=0.19) for i in range(4)], simplex=range(4))
