"""What recurrent students hold beside the laws of every student: order in time, units of ``torch.nn.GRU``, padding."""

import torch
from torch import nn

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.students.gru import GRU

STEPS, CHANNELS, OUTPUTS, ROWS = 5, 2, 3, 6
COLUMNS = Columns(STEPS * CHANNELS, "window", [STEPS, CHANNELS])


def stream() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def members(student: GRU, count: int, columns: Columns = COLUMNS) -> list[torch.Tensor]:
    rng = stream()
    every = [student.init_params(columns, OUTPUTS, rng, torch.float64) for _ in range(count)]
    return [torch.stack(layer) for layer in zip(*every, strict=True)]


def rows(count: int) -> torch.Tensor:
    return torch.randn(count, ROWS, COLUMNS.width, generator=stream(), dtype=torch.float64)


def test_it_is_the_unit_of_torch():
    weights, x = members(GRU(width=4), 1), rows(1)
    into, into_bias, onward, onward_bias = (weight[0].flatten(0, 1) for weight in weights[:4])
    unit = nn.GRU(CHANNELS, 4, batch_first=True).double()
    state = {"weight_ih_l0": into, "weight_hh_l0": onward, "bias_ih_l0": into_bias, "bias_hh_l0": onward_bias}
    unit.load_state_dict(state)
    last = unit(x[0].view(ROWS, STEPS, CHANNELS))[1][0]
    torch.testing.assert_close(GRU(width=4).hidden(weights, x, COLUMNS)[0], last)


def test_it_has_as_many_parameters_as_it_says():
    assert GRU(width=4).parameters(COLUMNS, OUTPUTS) == 3 * 4 * (CHANNELS + 4 + 2) + OUTPUTS * (4 + 1)


def test_another_order_of_the_steps_is_another_input():
    weights, x = members(GRU(width=4), 1), rows(1)
    turned = x.view(1, ROWS, STEPS, CHANNELS).flip(2).flatten(2)
    answers = GRU(width=4).answer(weights, x, COLUMNS)
    assert bool(((answers - GRU(width=4).answer(weights, turned, COLUMNS)).abs() > 1e-6).all())


def test_columns_in_another_order_are_the_same_window():
    """A teacher that takes channels first gets the same outputs."""
    weights, x = members(GRU(width=4), 1), rows(1)
    first = [channel * STEPS + step for step in range(STEPS) for channel in range(CHANNELS)]
    columns = Columns(COLUMNS.width, "window", [STEPS, CHANNELS], first)
    moved = x.view(1, ROWS, STEPS, CHANNELS).transpose(2, 3).flatten(2)
    expected = GRU(width=4).answer(weights, x, COLUMNS)
    torch.testing.assert_close(GRU(width=4).answer(weights, moved, columns), expected)


def test_units_with_zero_weights_stay_zero():
    """Members of different widths share a batched pass: padded units neither answer nor learn."""
    weights = members(GRU(width=4), 1)
    padded = [torch.zeros(1, *shape, dtype=torch.float64) for shape in GRU(width=7).shapes(COLUMNS, OUTPUTS)]
    for wide, narrow in zip(padded, weights, strict=True):
        wide[tuple(slice(n) for n in narrow.shape)] = narrow
    expected, _ = GRU(width=4).forward_with_tape(weights, rows(1), COLUMNS)
    answers, tape = GRU(width=7).forward_with_tape(padded, rows(1), COLUMNS)
    torch.testing.assert_close(answers, expected)
    for gradient, narrow in zip(GRU(width=7).weight_gradients(padded, tape, answers.cos()), weights, strict=True):
        beyond = gradient.clone()
        beyond[tuple(slice(n) for n in narrow.shape)] = 0.0
        assert not beyond.any()


def test_the_module_takes_raw_rows():
    student = GRU(width=4)
    center, scale = [float(i) for i in range(COLUMNS.width)], [2.0] * COLUMNS.width
    shift, spread = torch.arange(3.0).double(), torch.tensor([1.0, 2.0, 30.0]).double()
    weights, x = members(student, 1), rows(1)
    module = student.module([w[0] for w in weights], COLUMNS, Encoding(center, scale), shift, spread)
    raw = (torch.tensor(center) + 2.0 * x[0]).float()
    expected = shift + spread * student.answer(weights, x, COLUMNS)[0]
    torch.testing.assert_close(module(raw).detach(), expected.float(), rtol=1e-4, atol=1e-4)
