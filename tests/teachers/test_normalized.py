"""A teacher in the units of a distillation: the same by its layers as by its function, and no gradient where a value is missing."""

import pytest
import torch
from torch import nn

from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.ops.batch_norm import mismatch_gradients
from dfkd_tune.teachers.base import Teacher, freeze
from dfkd_tune.teachers.fused.forward import with_fused_forward
from dfkd_tune.teachers.normalized import normalized
from dfkd_tune.testing.problems import network

INPUTS = parse_features(
    {"features": ["a", {"name": "b", "mean": 10.0, "std": 3.0}, {"name": "c", "range": [0, 2]}]}, "f"
)
SHIFT, SPREAD = torch.tensor([1.0, -2.0]).double(), torch.tensor([0.5, 30.0]).double()
Z, GRADIENT = (torch.randn(7, n, generator=torch.Generator().manual_seed(n), dtype=torch.float64) for n in (3, 2))
Z = INPUTS.project(Z)


def teacher(fused: bool) -> Teacher:
    made = Teacher("t", network(2, 3), torch.float64, "sha")
    return with_fused_forward(made) if fused else made


@pytest.mark.parametrize("fused", [False, True], ids=["function", "layers"])
def test_outputs_and_gradients_are_in_the_units_of_the_distillation(fused):
    made = normalized(teacher(fused), INPUTS, SHIFT, SPREAD)
    assert (made.units is None) == fused  # folded into the layers
    z = Z.clone().requires_grad_()
    expected = (network(2, 3)(INPUTS.center + INPUTS.scale * z) - SHIFT) / SPREAD
    (pulled,) = torch.autograd.grad(expected, z, GRADIENT)
    u, pull = made.vjp(Z)
    for mine, theirs in ((made.answer(Z), expected), (u, expected), (pull(GRADIENT), pulled)):
        torch.testing.assert_close(mine, theirs.detach(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("fused", [False, True], ids=["function", "layers"])
def test_outputs_have_the_dtype_of_the_distillation(fused):
    made = normalized(teacher(fused), INPUTS, SHIFT.float(), SPREAD.float())
    u, pull = made.vjp(Z.float())
    assert made.answer(Z.float()).dtype == u.dtype == pull(GRADIENT.float()).dtype == torch.float32


def test_missing_values_have_no_gradient():
    inputs = parse_features({"features": [{"name": "a", "missing": 0.3}, "b"]}, "f")
    made = Teacher("t", lambda x: x.nan_to_num(5.0).sum(1, keepdim=True), torch.float64, "sha")
    one = torch.ones(1, dtype=torch.float64)
    z = torch.tensor([[torch.nan, 1.0], [2.0, 1.0]], dtype=torch.float64)
    u, pull = normalized(made, inputs, 0 * one, one).vjp(z)
    assert u.flatten().tolist() == [6.0, 3.0] and pull(torch.ones_like(u)).tolist() == [[0.0, 1.0], [1.0, 1.0]]


def test_rows_of_a_diverged_student_are_asked_as_numbers():
    """They are NaN where nobody declared it, which makes many teachers fail."""
    made = normalized(
        Teacher("t", lambda x: x.sum(1, keepdim=True), torch.float64, "sha"), INPUTS, SHIFT[:1], SPREAD[:1]
    )
    assert made.answer(torch.full((1, 3), torch.nan, dtype=torch.float64)).isfinite().all()


@pytest.mark.parametrize("fused", [False, True], ids=["function", "layers"])
def test_the_gradients_of_the_mismatch_are_in_standardized_rows(fused):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)).double()
    module.train()(INPUTS.center + 2 * INPUTS.scale * Z)
    module = freeze(module)
    plain = Teacher("t", module, torch.float64, "sha")
    made = normalized(with_fused_forward(plain) if fused else plain, INPUTS, SHIFT, SPREAD)
    assert (made.units is None) == fused
    expected = mismatch_gradients(module, INPUTS.raw(Z)) * INPUTS.scale
    found = made.mismatch_gradients(torch.stack([Z, 2 * Z]))
    torch.testing.assert_close(found[0], expected)
    assert (found[1] - expected).abs().max() > 0.1  # the other member has moments of its own
    assert (expected.abs() > 0).all()
