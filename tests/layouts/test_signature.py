"""A signature is told and kept: what it names, what is flat, and that it comes back from a file as it was."""

import json

import pytest
import torch

from dfkd_tune.layouts.nested import Leaf
from dfkd_tune.layouts.signature import (
    Argument,
    Output,
    Signature,
    Unfit,
    argument_names,
    output_names,
    value_names,
)

FULL = Signature(
    (Argument("signal", (24, 6), torch.float32), Argument("region", (), torch.int64, words=("north", "south"))),
    ((Leaf(0),), {"region": Leaf(1), "scale": 2.0}),
    (Output("forecast", (1,), torch.float32),),
    {"forecast": Leaf(0)},
    ("x",),
)


def test_a_signature_is_kept_as_json_and_told_in_a_line():
    for each in (FULL, Signature.positional([Argument("x", (3,), torch.float64)])):
        assert Signature.of(json.loads(json.dumps(each.tree()))) == each
    assert str(FULL) == "signal (N, 24, 6) float32, region (N,) string -> forecast (N, 1)"
    assert FULL.complete and not Signature.positional([Argument("x", None)]).complete
    assert Signature.positional([Argument("x", None)]).table() == [
        ("argument", "x", "of unknown shape", "unknown dtype")
    ]


def test_outputs_are_those_of_a_call():
    alone = Signature.positional([Argument("x", (3,))])
    assert alone.with_outputs(torch.zeros(5, 2), 5).outputs == (Output("output", (2,), torch.float32),)
    pair = alone.with_outputs((torch.zeros(5), {"deep": [torch.zeros(5, 1), None]}), 5)
    assert [each.name for each in pair.outputs] == ["output_0", "output_1_deep_0"]
    for returned, words in ((torch.zeros(0, 2), "for 5 rows"), (None, "returned NoneType")):
        with pytest.raises(Unfit, match=words):
            alone.with_outputs(returned, 5)


def test_names_lead_to_their_values():
    assert value_names("signal", (2, 2)) == ["signal[0,0]", "signal[0,1]", "signal[1,0]", "signal[1,1]"]
    assert value_names("one", (1, 1)) == ["one"] and value_names("none", ()) == ["none"]
    assert argument_names([("batch", "x"), ("batch", "y", 0)]) == ["x", "y.0"]
    assert argument_names([("batch", "x"), ("other", "x")]) == ["batch.x", "other.x"]
    assert argument_names([("pair", 0), ("pair", 1)]) == ["pair.0", "pair.1"]  # a number alone says nothing
    assert argument_names([("x",)]) == ["x"] and output_names([()]) == ["output"]


@pytest.mark.parametrize("named", [argument_names, output_names])
def test_values_at_different_places_have_different_names(named):
    paths = [("a", "b"), ("a.b",), ("a.b_2",), ("a", 0), ("a.0",), ("c",)]
    found = named(paths)
    assert len(set(found)) == len(paths)
    assert (found[0], found[2], found[-1]) == ("a.b", "a.b_2", "c")
