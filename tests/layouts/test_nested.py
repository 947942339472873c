"""A value taken apart and put together again is the same value."""

import json
from collections import namedtuple
from dataclasses import dataclass

import pytest

from dfkd_tune.layouts import nested
from dfkd_tune.layouts.nested import Leaf

VALUES = [1.0, (1.0, 2.0), [1.0, (2.0,), {"a": 3.0, "b": [4.0]}], {"x": (1.0, None), "y": 2.0}, ((1.0, "mode"), {})]


def is_leaf(value: object) -> bool:
    return isinstance(value, float)


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_a_value_is_put_together_as_it_was(value):
    taken = nested.take(value, is_leaf)
    assert nested.filled(taken.tree, taken.leaves) == value
    assert nested.leaves_at(taken.tree, value) == dict(enumerate(taken.leaves))
    assert len(set(taken.paths)) == len(taken.leaves)
    assert nested.from_plain(json.loads(json.dumps(nested.to_plain(taken.tree)))) == taken.tree


def test_named_tuples_and_dataclasses_name_their_leaves():
    @dataclass
    class Answer:
        mean: float
        extra: float | None = None

    pair = namedtuple("pair", "low high")
    taken = nested.take((pair(1.0, 2.0), Answer(3.0)), is_leaf)
    assert taken.tree == ((Leaf(0), Leaf(1)), {"mean": Leaf(2)})
    assert taken.paths == [(0, "low"), (0, "high"), (1, "mean")]


def test_what_is_no_leaf_is_named_with_its_place():
    with pytest.raises(TypeError, match=r"a\.1 is of type object"):
        nested.take({"a": [1.0, object()]}, is_leaf)
