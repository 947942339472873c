"""Passes of recurrent units, each derivative against autograd."""

import pytest
import torch

from dfkd_tune.students import gru_passes as passes

MEMBERS, UNITS, CHANNELS, STEPS, ROWS = 2, 3, 2, 4, 5


def drawn(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def weights():
    shapes = [(CHANNELS,), (), (UNITS,), ()]
    return [drawn(MEMBERS, 3, UNITS, *last, seed=i) for i, last in enumerate(shapes)]


WINDOWS = drawn(MEMBERS, ROWS, STEPS, CHANNELS, seed=10)
DIRECTION = drawn(MEMBERS, ROWS, STEPS, CHANNELS, seed=11)
GRADIENT = drawn(MEMBERS, UNITS, ROWS, seed=12)


def plain(weights, windows):
    """The last states by the equations, differentiable as often as one likes."""
    (ir, iz, ic), (ur, uz, uc) = weights[0].unbind(1), weights[2].unbind(1)
    (br, bz, bc), (vr, vz, vc) = (bias.unbind(1) for bias in (weights[1], weights[3]))
    h = windows.new_zeros(MEMBERS, UNITS, ROWS)
    for t in range(windows.shape[2]):
        x = windows[:, :, t].mT
        r = torch.sigmoid(ir @ x + ur @ h + (br + vr)[..., None])
        z = torch.sigmoid(iz @ x + uz @ h + (bz + vz)[..., None])
        n = torch.tanh(ic @ x + bc[..., None] + r * (uc @ h + vc[..., None]))
        h = n + z * (h - n)
    return h


def close(mine, theirs):
    torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("steps", [1, STEPS])
def test_states_and_gradients_are_those_of_the_equations(weights, steps):
    windows = WINDOWS[:, :, :steps]
    leaves = [*(w.clone().requires_grad_() for w in weights), windows.clone().requires_grad_()]
    expected = plain(leaves[:-1], leaves[-1])
    run = passes.forward(weights, windows)
    close(run.last, expected.detach())
    pulled = passes.backward(run, GRADIENT)
    found = [*passes.weight_gradients(run, pulled), passes.input_gradients(run, pulled)]
    for mine, theirs in zip(found, torch.autograd.grad((GRADIENT * expected).sum(), leaves), strict=True):
        close(mine, theirs)


def test_the_tangent_is_the_derivative_along_a_direction(weights):
    run = passes.forward(weights, WINDOWS)
    _, expected = torch.func.jvp(lambda windows: plain(weights, windows), (WINDOWS,), (DIRECTION,))
    close(passes.tangent(run, DIRECTION).states[-1], expected)


@pytest.mark.parametrize("further", [0.0, 1.0])
def test_weight_gradients_along_a_direction_are_second_derivatives(weights, further):
    """Of ``v . dS/dx``, plus those of a gradient in the states."""
    leaves, windows = [w.clone().requires_grad_() for w in weights], WINDOWS.clone().requires_grad_()
    last, own = plain(leaves, windows), drawn(MEMBERS, UNITS, ROWS, seed=13)
    (slope,) = torch.autograd.grad((GRADIENT * last).sum(), windows, create_graph=True)
    expected = torch.autograd.grad((slope * DIRECTION).sum() + further * (own * last).sum(), leaves)
    run = passes.forward(weights, WINDOWS)
    along = passes.tangent(run, DIRECTION)
    found = passes.weight_gradients_along(run, passes.backward(run, GRADIENT), along, further * own)
    for mine, theirs in zip(found, expected, strict=True):
        close(mine, theirs)


def test_a_pass_changes_neither_weights_nor_windows(weights):
    before = [w.clone() for w in (*weights, WINDOWS)]
    run = passes.forward(weights, WINDOWS)
    passes.backward(run, GRADIENT)
    passes.tangent(run, DIRECTION)
    assert all(map(torch.equal, (*weights, WINDOWS), before))
