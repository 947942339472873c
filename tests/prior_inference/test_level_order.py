"""The order of levels is a question of a channel, not of its steps."""

import torch

from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.prior_inference.level_order import with_order
from dfkd_tune.teachers.base import Teacher

LEVELS = {"levels": [0.0, 1.0, 2.0, 3.0, 4.0]}
INPUTS = parse_features({"window": {"steps": 4, "channels": ["load", {"name": "gear", **LEVELS}, {"name": "code", **LEVELS}]}}, "here")  # fmt: skip


def test_a_channel_is_nominal_at_every_step_or_at_none():
    table = torch.tensor([3.0, -1.0, 4.0, -2.0, 0.5], dtype=torch.float64)
    asked = []

    def teacher(x):
        asked.append(len(x))
        x = x.view(-1, 4, 3)
        return (0.5 ** torch.arange(4) * (x[:, :, 1] + table[x[:, :, 2].long()])).sum(1, keepdim=True) + x[:, :, 0].sum(1, keepdim=True)  # fmt: skip

    found = with_order(Teacher("f", teacher, torch.float64, "sha"), INPUTS)
    assert found.nominal == [2, 5, 8, 11] and found.axes == INPUTS.axes
    assert len(asked) == 2  # one question a channel
    assert found.fingerprint() == INPUTS.fingerprint()
