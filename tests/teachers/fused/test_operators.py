"""Rules of operators: each as PyTorch computes it, for every place that the rows may have, or none at all."""

import pytest
import torch
from fused_graphs import ROWS, Called, drawn, read
from torch import nn
from torch.nn import functional as F

FUSED = {
    "number minus value": lambda p, x: 3 - x.sigmoid(),
    "value minus tensor": lambda p, x: x - p.out.weight[0],
    "tensor times value": lambda p, x: p.out.weight[0] * x,
    "divided": lambda p, x: torch.tanh(x / 2.5),
    "added twice": lambda p, x: torch.add(x.relu(), x, alpha=0.5),
    "subtracted": lambda p, x: torch.sub(x.relu(), x, alpha=2),
    "product of two": lambda p, x: x.tanh() * x,
    "last of a window": lambda p, x: x.view(-1, 2, 3)[:, -1],
    "every second": lambda p, x: x[:, ::2].relu(),
    "turned window": lambda p, x: x.view(-1, 2, 3).permute(0, 2, 1).flatten(1),
    "squeezed": lambda p, x: x[:, :1].unsqueeze(1).squeeze(1).relu(),
    "nothing to squeeze": lambda p, x: x.squeeze(1).relu(),
    "mean of steps": lambda p, x: x.view(-1, 2, 3).mean((1, 2), keepdim=True).flatten(1),
    "side by side": lambda p, x: torch.cat([x[:, 3:], x.relu(), x[:, :1]], dim=-1),
    "norm with weights": lambda p, x: F.layer_norm(x, (6,), p.out.weight[0], p.out.weight[1], 1e-3),
    "default parameters": lambda p, x: F.elu(F.leaky_relu(x, 0.01)),
    "sizes": lambda p, x: x.reshape(x.shape[0], 3, 2)[:, 1].relu(),
}
NOT_FUSED = {
    "another slope": lambda p, x: F.leaky_relu(x, 0.2),
    "rounded steps": lambda p, x: F.softplus(x, 2.0),
    "number of rows": lambda p, x: x * x.shape[0],
    "one row": lambda p, x: x - x[:1],
    "rows moved": lambda p, x: x.reshape(-1, 3).relu().view(-1, 6),
    "norm over two dimensions": lambda p, x: F.layer_norm(x.view(-1, 2, 3), (2, 3)).flatten(1),
    "spread by addition": lambda p, x: x[:, :1] + x,
    "a grouped convolution": lambda p, x: F.conv1d(
        x.view(-1, 2, 3), p.out.weight[:, :1, None].repeat(2, 1, 1), groups=2
    ).flatten(1),
    "power": lambda p, x: x**2,
}


def parts(function):
    torch.manual_seed(0)
    return Called(function, out=nn.Linear(6, 2)).double().eval().requires_grad_(False)


@pytest.mark.parametrize("name", FUSED)
def test_outputs_and_gradients_are_those_of_the_graph(name):
    module = parts(FUSED[name])
    program, x = read(module, drawn(2, 6)), drawn(ROWS, 6).requires_grad_()
    assert program is not None
    expected = module(x)
    gradient = torch.cos(expected.detach())
    answers, pull = program.vjp(x.detach())
    torch.testing.assert_close(answers, expected.detach(), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(pull(gradient), torch.autograd.grad(expected, x, gradient)[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", NOT_FUSED)
def test_what_a_rule_does_not_cover_is_no_program(name):
    assert read(parts(NOT_FUSED[name]), drawn(2, 6)) is None
