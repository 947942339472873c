"""A teacher's call is exported with names that Python can write, and with any number of rows."""

from keyword import iskeyword

import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

from dfkd_tune.layouts.calls import export_call, parameter_names
from dfkd_tune.layouts.layout import Layout
from dfkd_tune.layouts.nested import Leaf
from dfkd_tune.layouts.signature import Argument, Output, Signature

OUTPUTS = [Output("y", (1,), torch.float32)]


def named(*names: str) -> Layout:
    return Layout(Signature.positional([Argument(name, (2,), torch.float32) for name in names], OUTPUTS))


@given(st.lists(st.text("a_ -1x2é", min_size=1, max_size=6), min_size=1, max_size=4, unique=True))
@example(["class", "self", "a b", "a-b", "a_b"])
@example(["a_b", "x2_a_b", "a b"])
def test_parameters_have_names_that_python_can_write(names):
    found = parameter_names(named(*names))
    assert len({*found}) == len(names)
    assert all(name.isidentifier() and not iskeyword(name) and name != "self" for name in found)
    assert found[0] == names[0] or not names[0].isidentifier() or names[0] in ("class", "self")


class Sum(nn.Module):
    """Takes a number a row and, by keyword, a list of windows and a constant."""

    def forward(self, first, *, more):
        (window, scale), flag = more["parts"], more["flag"]
        return (first.float() * scale + window.sum((1, 2)) * flag)[:, None]


def test_a_call_is_exported_for_any_number_of_rows():
    arguments = (Argument("first", (), torch.int64), Argument("window", (3, 2), torch.float32))
    call = ((Leaf(0),), {"more": {"parts": [Leaf(1), 2.0], "flag": True}})
    layout = Layout(Signature(arguments, call, tuple(OUTPUTS), Leaf(0)))
    rows = torch.arange(35.0).reshape(5, 7)
    positional, keywords, shapes = export_call(layout, rows[:2])
    program = torch.export.export(Sum(), positional, keywords, dynamic_shapes=shapes)
    assert torch.equal(layout.call(program.module(), rows), layout.call(Sum(), rows))
