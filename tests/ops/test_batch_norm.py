"""Moments of batch normalization: those of given rows, how far they are from the stored ones, and the gradient of that."""

import pytest
import torch
from torch import nn

from dfkd_tune.ops.batch_norm import BatchNormRecorder, mismatch_gradients, moments_of

WIDTH, UNITS = 3, 5


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, WIDTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network() -> nn.Sequential:
    """Two normalized layers, with moments and scales of their own."""
    torch.manual_seed(0)
    layers = nn.Linear(WIDTH, UNITS), nn.BatchNorm1d(UNITS), nn.Tanh(), nn.Linear(UNITS, 2), nn.BatchNorm1d(2)
    made = nn.Sequential(*layers).double()
    made.train()(3 + 2 * rows(500, seed=1))
    return made.eval().requires_grad_(False)


def mismatch(net: nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    """Of rows ``(N, D)``, written out."""
    total = x.new_zeros(())
    for i in (1, 4):
        norm, y = net[i], net[:i](x)
        unit = (norm.running_var + norm.eps).sqrt()
        total = total + ((y.mean(0) - norm.running_mean) / unit).square().mean().sqrt()
        total = total + ((y.var(0) - norm.running_var) / unit**2).square().mean().sqrt()
    return total


@pytest.mark.parametrize("exported", [False, True])
def test_the_gradient_is_that_of_the_mismatch(exported):
    net, x = network(), rows(40)
    function = net
    if exported:
        shapes = ({0: torch.export.Dim("batch", min=1)},)
        function = torch.export.export(net, (x,), dynamic_shapes=shapes).module()
    found = mismatch_gradients(function, x)
    torch.testing.assert_close(found, torch.func.grad(lambda rows: mismatch(net, rows))(x))
    assert not found.requires_grad and not x.requires_grad and found.abs().min() > 0


def test_gradients_are_found_where_autograd_is_off():
    net, x = network(), rows(10)
    expected = mismatch_gradients(net, x)
    with torch.inference_mode():
        torch.testing.assert_close(mismatch_gradients(net, x + 0.0), expected)
    with torch.no_grad():
        torch.testing.assert_close(mismatch_gradients(net, x), expected)


def test_channels_have_moments_over_all_positions():
    net = nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4)).double()
    x = torch.randn(6, 2, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    net.train()(x + 1.0)
    with BatchNormRecorder() as recorder, torch.no_grad():
        net.eval()(x)
    (heard,) = recorder.heard
    values = net[0](x).detach().transpose(0, 1).flatten(1)
    torch.testing.assert_close(heard.mean, values.mean(1))
    torch.testing.assert_close(heard.std, values.std(1))


def test_rows_with_the_stored_moments_have_no_mismatch():
    x = rows(50)
    net = nn.Sequential(nn.BatchNorm1d(WIDTH, momentum=None), nn.Linear(WIDTH, 1)).double()
    net.train()(x)
    with BatchNormRecorder() as recorder:
        net.eval()(x)
    assert float(recorder.heard[0].mismatch().detach()) < 1e-12
    assert mismatch_gradients(net, x).isfinite().all()


def test_a_single_row_has_a_mean():
    net, x = network(), rows(1)
    found = mismatch_gradients(net, x)
    assert found.isfinite().all() and found.abs().min() > 0


def test_a_unit_that_never_changed_in_training_has_a_finite_mismatch():
    net = nn.Sequential(nn.Linear(WIDTH, UNITS), nn.ReLU(), nn.BatchNorm1d(UNITS, momentum=None), nn.Linear(UNITS, 1))
    nn.init.constant_(net.double()[0].bias, -30.0)
    net.train()(rows(50))
    assert not net[2].running_var.any()
    net.eval()
    assert mismatch_gradients(net, rows(7)).isfinite().all()
    with BatchNormRecorder() as recorder:
        net(rows(7))
    assert recorder.heard[0].terms().isfinite().all()


def test_what_does_not_depend_on_the_rows_is_left_out():
    norm = nn.BatchNorm1d(WIDTH).double().eval()
    assert not moments_of(lambda x: x + norm(torch.ones(2, WIDTH, dtype=torch.float64)).sum(), rows(4))
    assert len(moments_of(lambda x: norm(x), rows(4))) == 1


@pytest.mark.parametrize(
    "net",
    [
        nn.Linear(WIDTH, 1),
        nn.Sequential(nn.Linear(WIDTH, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 1)),
    ],
    ids=["none", "of the batch alone"],
)
def test_a_network_that_stores_none_has_no_gradient(net):
    assert torch.equal(mismatch_gradients(net.double(), rows(7)), torch.zeros(7, WIDTH, dtype=torch.float64))
