"""A program that was read from a graph answers, and pulls gradients back, as its module does."""

import pytest
import torch
from fused_graphs import ROWS, Called, drawn, read
from torch import nn


def chomped(part, x):
    return part(x)[:, :, : -part.padding[0]].contiguous()


def residual(parts, x):
    x = x.transpose(1, 2)
    h = torch.relu(chomped(parts.first, x))
    h = torch.relu(chomped(parts.second, h) + parts.down(x))
    return parts.out(h[:, :, -1])


def pooled(parts, x):
    h = torch.tanh(parts.norm(parts.conv(x.permute(0, 2, 1))))
    h = parts.pool(parts.act(parts.depth(h)))
    return parts.out(h.flatten(1)).squeeze(-1)


def residual_block(parts, x):
    h = parts.first(x)
    h = h + 0.5 * parts.block(h)
    return parts.out(2 - h * torch.sigmoid(h) / 3)


def weighted(conv):
    return nn.utils.parametrizations.weight_norm(conv)


def moved(norm):
    """Batch normalization that has seen other rows than its own."""
    norm(3 * torch.randn(50, norm.num_features, 4) + 1)
    return norm


WINDOW, FLAT = (7, 3), (6,)
MODULES = {
    "gru": (
        WINDOW,
        lambda: Called(lambda p, x: p.out(p.rnn(x)[0][:, -1]), rnn=nn.GRU(3, 4, batch_first=True), out=nn.Linear(4, 2)),
    ),
    "two gru layers": (
        WINDOW,
        lambda: Called(lambda p, x: p.out(p.rnn(x)[1][-1]), rnn=nn.GRU(3, 4, 2, batch_first=True), out=nn.Linear(4, 1)),
    ),
    "lstm": (
        WINDOW,
        lambda: Called(
            lambda p, x: p.out(p.rnn(x)[1][0][-1]), rnn=nn.LSTM(3, 4, batch_first=True), out=nn.Linear(4, 2)
        ),
    ),
    "states of two lstm layers": (
        WINDOW,
        lambda: Called(
            lambda p, x: p.out(torch.tanh(p.on(p.rnn(x)[0])).mean(1)),
            rnn=nn.LSTM(3, 4, 2, batch_first=True),
            on=nn.Linear(4, 5),
            out=nn.Linear(5, 2),
        ),
    ),
    "temporal convolutions": (
        WINDOW,
        lambda: Called(
            residual,
            first=weighted(nn.Conv1d(3, 4, 3, padding=2)),
            second=nn.Conv1d(4, 4, 3, padding=4, dilation=2),
            down=nn.Conv1d(3, 4, 1),
            out=nn.Linear(4, 1),
        ),
    ),
    "strides, depthwise and pooled": (
        WINDOW,
        lambda: Called(
            pooled,
            conv=nn.Conv1d(3, 4, 3, stride=2, padding=1, bias=False),
            norm=moved(nn.BatchNorm1d(4)),
            depth=nn.Conv1d(4, 4, 2, padding=1, groups=4),
            act=nn.SiLU(),
            pool=nn.AdaptiveAvgPool1d(1),
            out=nn.Linear(4, 1),
        ),
    ),
    "residual": (
        FLAT,
        lambda: Called(
            residual_block,
            first=nn.Linear(6, 4),
            block=nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 8), nn.GELU(), nn.Dropout(), nn.Linear(8, 4), nn.ELU()),
            out=nn.Linear(4, 3),
        ),
    ),
    "other activations": (
        FLAT,
        lambda: nn.Sequential(
            nn.Linear(6, 8), nn.LeakyReLU(), nn.Linear(8, 8), nn.Softplus(), nn.Flatten(), nn.Linear(8, 1)
        ),
    ),
}


@pytest.mark.parametrize("name", MODULES)
def test_outputs_and_pullbacks_are_those_of_the_module(name):
    torch.manual_seed(0)
    shape, make = MODULES[name]
    module = make().double().eval().requires_grad_(False)
    program = read(module, drawn(2, *shape))
    assert program is not None
    x = drawn(ROWS, *shape).requires_grad_()
    expected = module(x).reshape(ROWS, -1)
    gradient = torch.cos(expected.detach())
    (pulled,) = torch.autograd.grad(expected, x, gradient)
    rows, pulled = x.detach().flatten(1), pulled.flatten(1)
    answers, pull = program.vjp(rows)
    for mine, theirs in ((program(rows), expected), (answers, expected), (pull(gradient), pulled)):
        torch.testing.assert_close(mine, theirs.detach(), rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(pull(2 * gradient), 2 * pulled, rtol=1e-9, atol=1e-11)


def test_other_units_are_part_of_the_program():
    torch.manual_seed(0)
    program = read(MODULES["gru"][1]().double().eval().requires_grad_(False), drawn(2, *WINDOW))
    center, scale = drawn(21), drawn(21, seed=2).exp()
    shift, spread = drawn(2), drawn(2, seed=3).exp()
    z, gradient = drawn(ROWS, 21), drawn(ROWS, 2)
    answers, pull = program.between(center, scale, shift, spread).vjp(z)
    inner, inner_pull = program.vjp(center + scale * z)
    torch.testing.assert_close(answers, (inner - shift) / spread, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(pull(gradient), scale * inner_pull(gradient / spread), rtol=1e-9, atol=1e-11)
