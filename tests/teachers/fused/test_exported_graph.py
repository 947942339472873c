"""Programs read from graphs: a graph with a part that no layer stands for is none."""

import pytest
import torch
from fused_graphs import ROWS, Called, drawn, read
from torch import nn

from dfkd_tune.inputs.arguments import layout_of
from dfkd_tune.layouts.signature import Argument, Signature
from dfkd_tune.teachers.fused.exported_graph import read_program

WINDOW = (7, 3)


class Both(nn.Module):
    """Two arguments and two outputs."""

    def __init__(self):
        super().__init__()
        self.rnn, self.out = nn.GRU(3, 4, batch_first=True), nn.Linear(6, 2)

    def forward(self, signal, about):
        h = self.rnn(signal)[1][0]
        return self.out(torch.cat([h, about], dim=1)), h


@pytest.mark.parametrize(
    "function",
    [
        lambda p, x: p.out(torch.cumsum(x, dim=1)),
        lambda p, x: p.out(x - x.mean(0)),
        lambda p, x: p.out(x).relu() + x.flip(0).sum(1, keepdim=True),
        lambda p, x: p.out(x.round()),
    ],
    ids=["unknown operator", "over rows", "other rows", "jumps"],
)
def test_what_no_layer_stands_for_is_no_program(function):
    assert read(Called(function, out=nn.Linear(6, 1)).double().eval().requires_grad_(False), drawn(2, 6)) is None


def test_a_recurrent_layer_both_ways_is_no_program():
    rnn = nn.GRU(3, 4, batch_first=True, bidirectional=True)
    module = Called(lambda p, x: p.out(p.rnn(x)[0][:, -1]), rnn=rnn, out=nn.Linear(8, 1))
    assert read(module.double().eval().requires_grad_(False), drawn(2, *WINDOW)) is None


def test_several_arguments_and_outputs_follow_each_other():
    torch.manual_seed(0)
    module = Both().double().eval().requires_grad_(False)
    program = read(module, drawn(2, *WINDOW), drawn(2, 2))
    signal, about = drawn(ROWS, *WINDOW), drawn(ROWS, 2)
    outputs = program(torch.cat([signal.flatten(1), about], dim=1))
    torch.testing.assert_close(outputs, torch.cat(module(signal, about), dim=1), rtol=1e-9, atol=1e-11)


def test_constants_of_a_graph_are_computed_once():
    """As the square root of a weight, which would otherwise be no layer."""
    module = Called(lambda p, x: p.out(x) * p.out.weight.abs().sqrt().sum(), out=nn.Linear(6, 1)).double()
    program = read(module.eval().requires_grad_(False), drawn(2, 6))
    x = drawn(ROWS, 6)
    torch.testing.assert_close(program(x), module(x).detach())
    assert len(program.steps) == 1  # the constant is part of the layer


def test_an_argument_that_is_not_used_is_no_hindrance():
    module = Both().double().eval().requires_grad_(False)
    module.forward = lambda signal, about: module.rnn(signal)[1][0]
    program = read(module, drawn(2, *WINDOW), drawn(2, 2))
    rows = drawn(ROWS, 23)
    torch.testing.assert_close(program(rows), module.rnn(rows[:, :21].reshape(ROWS, *WINDOW))[1][0])
    _, pull = program.vjp(rows)
    assert not pull(torch.ones(ROWS, 4).double())[:, 21:].any()


@pytest.mark.parametrize("kind", [torch.int64, torch.float32])
def test_arguments_of_another_dtype_than_the_rows_are_not_read(kind):
    graph = torch.fx.symbolic_trace(nn.Linear(3, 1).double())
    layout = layout_of(Signature.positional([Argument("x", (3,), kind), Argument("y", (), torch.float64)]), "t")
    assert read_program(graph, 4, torch.float64, layout) is None
