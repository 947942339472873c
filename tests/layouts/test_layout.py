"""Laws of layouts: rows and arguments hold the same values, and outputs come back in their places."""

import json

import pytest
import torch

from dfkd_tune.layouts.layout import Layout
from dfkd_tune.layouts.nested import Leaf
from dfkd_tune.layouts.signature import Argument, Output, Signature, Unfit

ARGUMENTS = [
    Argument("signal", (4, 3), torch.float32),
    Argument("region", (), torch.int64),
    Argument("flags", (2,), torch.bool),
    Argument("wide", (1,), torch.float64),
]
OUTPUTS = (
    Output("quality", (2,), torch.float32),
    Output("power", (), torch.float64),
    Output("deep", (1, 1), torch.float32),
)
RETURNS = {"quality": Leaf(0), "rest": (Leaf(1), Leaf(2))}
LAYOUT = Layout(
    Signature(tuple(ARGUMENTS), ((Leaf(0),), {"region": Leaf(1), "more": [Leaf(2), Leaf(3)]}), OUTPUTS, RETURNS)
)


def rows(count: int = 5) -> torch.Tensor:
    x = torch.randn(count, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).float().double()
    x[:, 12] = torch.arange(count) - 1
    x[:, 13:15] = torch.tensor([0.0, 1.0])
    return x


def test_arguments_hold_what_rows_hold():
    arguments = LAYOUT.to_arguments(rows())
    assert [(a.shape[1:], a.dtype) for a in arguments] == [(e.shape, e.dtype) for e in ARGUMENTS]
    assert arguments[0][1, 2, 1] == rows()[1, 2 * 3 + 1].float()  # row-major
    assert arguments[1].tolist() == [-1, 0, 1, 2, 3]
    assert torch.equal(LAYOUT.from_arguments(arguments, torch.float64), rows())
    assert all(argument.is_contiguous() for argument in arguments)


def test_columns_have_the_names_of_their_values():
    assert LAYOUT.names[:2] == ["signal[0,0]", "signal[0,1]"] and LAYOUT.names[11:] == ["signal[3,2]", "region", "flags[0]", "flags[1]", "wide"]  # fmt: skip
    assert LAYOUT.names[LAYOUT.columns["flags"]] == ["flags[0]", "flags[1]"]
    assert LAYOUT.output_names == ["quality[0]", "quality[1]", "power", "deep"]
    assert LAYOUT.width == len(LAYOUT.names) == 16


def test_a_call_has_the_arguments_in_their_places():
    def function(*positional, **keywords):
        return LAYOUT.taken(positional, keywords)

    taken = LAYOUT.call(function, rows())
    assert all(torch.equal(a, b) for a, b in zip(taken, LAYOUT.to_arguments(rows()), strict=True))


def test_gradients_flow_through_numbers_and_stop_at_whole_ones():
    x = rows().requires_grad_()
    signal, region, flags, wide = LAYOUT.to_arguments(x)
    table = torch.arange(8.0)
    y = (signal * 2).sum() + table[region].sum() + flags.sum() + wide.sum()
    (gradient,) = torch.autograd.grad(y, x)
    assert torch.equal(gradient, torch.tensor([2.0] * 12 + [0.0] * 3 + [1.0]).double().expand(5, -1))


def test_outputs_come_back_in_their_form():
    y = torch.randn(5, 4)
    returned = LAYOUT.to_outputs(y)
    assert [*returned] == ["quality", "rest"] and isinstance(returned["rest"], tuple)
    assert returned["rest"][0].dtype == torch.float64 and returned["rest"][1].shape == (5, 1, 1)
    assert torch.equal(LAYOUT.from_outputs(returned, 5).float(), y)
    assert LAYOUT.flat(lambda *_, **__: returned)(rows()).shape == (5, 4)


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ({"quality": torch.zeros(5, 2)}, "expected quality"),
        (torch.zeros(5, dtype=torch.int64), "int64; whole numbers are classes"),
        ((torch.zeros(5, 2), torch.zeros(1)), "output_1 returns .1,. for 5 rows"),
        ({"quality": [None, "word"]}, "must return a tensor"),
        (object(), "of type object"),
    ],
)
def test_what_a_teacher_may_not_return(returned, words):
    with pytest.raises(Unfit, match=words):
        LAYOUT.from_outputs(returned, 5)


def test_a_layout_is_kept_as_json():
    assert Layout.of(json.loads(json.dumps(LAYOUT.tree()))) == LAYOUT


def test_only_rows_of_numbers_are_flat():
    def of(shape, dtype=torch.float32, outputs=(OUTPUTS[0],)):
        return Signature.positional([Argument("x", shape, dtype)], outputs)

    assert of((3,)).flat and of((3,), torch.float64).flat and of((3,), outputs=None).flat
    assert (
        not of(()).flat and not of((3, 1)).flat and not of((3,), torch.int64).flat and not of((3,), torch.bfloat16).flat
    )
    assert not of((3,), outputs=(Output("y", (1, 1), torch.float32),)).flat
    assert not Signature.positional([Argument("x", (3,)), Argument("y", (3,))]).flat
