"""Which input gradients are matched: those that say how the outputs change."""

import pytest
import torch

from dfkd_tune.inputs.encoding import encoder
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.training.gradient_mask import gradient_mask

FEATURES = ["a", {"name": "level", "levels": [0, 1, 2, 3]}, {"name": "whole", "range": [0, 9], "integer": True}]
STEP = torch.tensor([0.0, 9.0, -9.0, 7.0], dtype=torch.float64)


def parsed(*features, **others):
    return parse_features({"features": list(features), **others}, "features.yaml")


def mask(inputs, function, smooth=False):
    """The mask for a teacher of raw rows."""
    z = inputs.draw(200, torch.Generator().manual_seed(0))

    def gradient(z):
        z = z.clone().requires_grad_()
        values = function(inputs.raw(z))[:, None]
        (found,) = torch.autograd.grad(values.sum(), z)
        return values.detach(), found.unsqueeze(1)

    found = gradient_mask(encoder(inputs), z, None if function is None else gradient, smooth)
    return None if found is None else found.tolist()


def linear(x):
    return x.sum(1)


def rounding(x):
    """It has no gradient in whole numbers."""
    return x[:, 0] + x[:, 1] + x[:, 2].round()


def table(x):
    """Its gradient in the level says nothing of the next one."""
    return x[:, 0] + STEP[x[:, 1].detach().round().long()] + 0 * x[:, 1] + x[:, 2]


@pytest.mark.parametrize(
    "function, expected",
    [(linear, None), (lambda x: x.square().sum(1), None), (rounding, [1, 1, 0]), (table, [1, 0, 1])],
)
def test_a_gradient_counts_where_it_predicts_the_next_value(function, expected):
    assert mask(parsed(*FEATURES), function) == expected


def test_a_chain_of_layers_is_not_asked():
    """It may have kinks, but no jumps."""
    assert mask(parsed(*FEATURES), table, smooth=True) is None


def test_columns_that_no_gradient_moves_are_never_matched():
    inputs = parsed("a", {"name": "b", "missing": 0.3}, {"name": "c", "levels": ["x", "y"]})
    assert mask(inputs, lambda x: x.nan_to_num(0.0).sum(1)) == [1, 0, 0, 0, 0]  # a, b, both levels of c, and b's gap


def test_shares_are_matched_only_where_the_teacher_gives_gradients():
    inputs = parsed("a", "b", "c", simplex=["b", "c"])
    assert mask(inputs, linear) is None and mask(inputs, None) == [1, 0, 0]
