"""Causal convolutions over a window: the last step sees all of it, and nothing that comes later."""

import pytest
import torch

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.networks.conv1d import Conv1dArchitecture, earlier, layers_for


def network(steps: int, kernel: int, layers: int, width: int = 4):
    torch.manual_seed(0)
    columns, encoding = Columns(steps, "window", [steps, 1]), Encoding([0.0] * steps, [1.0] * steps)
    return Conv1dArchitecture(columns, encoding, 1, width, kernel, layers).network().double().eval()


def reached(steps: int, kernel: int, layers: int) -> torch.Tensor:
    """The steps that the output depends on."""
    made, x = network(steps, kernel, layers), torch.randn(1, steps, dtype=torch.float64, requires_grad=True)
    made.encode = torch.nn.Identity()  # which would round to float32
    (gradient,) = torch.autograd.grad(made(x).sum(), x)
    return gradient[0] != 0


@pytest.mark.parametrize("steps", [1, 2, 7, 8, 24])
@pytest.mark.parametrize("kernel", [2, 3, 5])
def test_enough_layers_see_every_step_and_fewer_do_not(steps, kernel):
    layers = layers_for(steps, kernel)
    assert reached(steps, kernel, layers).all()
    if layers > 1:
        assert not reached(steps, kernel, layers - 1)[0]


def test_more_layers_than_steps_need_still_answer():
    assert reached(3, 2, 6).all()


@pytest.mark.parametrize("steps", range(1, 9))
def test_every_second_step_counts_from_the_last_one(steps):
    assert list(range(steps))[earlier(steps) :: 2] == list(range(steps))[::-1][::2][::-1]
