"""Activations: what hand-written passes rely on, against PyTorch's modules."""

import pytest
import torch

from dfkd_tune.ops.activations import ACTIVATIONS


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_keeps_zero_and_knows_its_derivative(name):
    """Without ``f(0) = 0`` a padded hidden unit would wake up."""
    z = torch.linspace(-9, 9, 101, dtype=torch.float64) + 1e-3
    activation = ACTIVATIONS[name]
    assert activation.value(torch.zeros(1)) == 0 and activation.both(torch.zeros(1))[0] == 0
    scaled = activation.factor * z
    value, derivative = activation.both(scaled.clone())
    expected = activation.module()(z.requires_grad_())
    (gradient,) = torch.autograd.grad(expected.sum(), z, create_graph=True)
    (bend,) = torch.autograd.grad(gradient.sum(), z) if gradient.requires_grad else (torch.zeros_like(z),)
    curve = activation.curve(scaled, value, derivative)
    for mine, theirs in (
        (value, expected),
        (activation.value(scaled.clone()), expected),
        (derivative, gradient),
        (curve, bend),
    ):
        torch.testing.assert_close(mine.detach(), theirs.detach(), rtol=1e-9, atol=1e-12)
