"""The tree of errors: as it is documented, each in one line with a next step, whatever it is about and wherever it is raised."""

import pickle
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfkd_tune import errors
from dfkd_tune.errors import MOST_CHARACTERS, DfkdError, SpecError, shown

KINDS = [DfkdError]
for _kind in KINDS:
    KINDS += _kind.__subclasses__()


def test_the_module_shows_its_tree():
    drawn, above = {}, ["DfkdError"]
    for branch, name, words in re.findall(r"^([│ ]*[├└]── )(\w+) +(.+)$", errors.__doc__, re.MULTILINE):
        depth = len(branch) // 4
        above[depth:] = [name]
        drawn[name] = above[depth - 1], words
    public = [kind for kind in KINDS[1:] if kind.__module__ == errors.__name__]
    assert {name: (base, words.capitalize()) for name, (base, words) in drawn.items()} == {
        kind.__name__: (kind.__bases__[0].__name__, kind.__doc__.rstrip(".").capitalize()) for kind in public
    }


def test_every_failure_names_a_next_step():
    for kind in KINDS:
        assert str(kind("place", "rule")) == f"place: rule; {kind.NEXT}" and len(kind.NEXT.split()) > 3
        assert str(kind("place", "rule", remedy="this")) == "place: rule; this"
    assert len(KINDS) > 8


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_of_a_worker_arrives_whole(kind):
    error = kind("a place\n", "a rule", remedy="a remedy")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind and str(again) == str(error)
    assert (again.place, again.rule, again.remedy) == (r"a place\n", "a rule", "a remedy")


@settings(max_examples=50)
@given(st.text(), st.text())
def test_an_error_is_one_line_of_printable_characters(place, rule):
    """Both may come from a file of somebody else's."""
    assert str(SpecError(place, rule)).isprintable()


def test_the_middle_of_a_long_text_is_left_out():
    text = "first" + "x" * 10 * MOST_CHARACTERS + "last"
    assert len(shown(text)) == MOST_CHARACTERS + len(" ... ")
    assert shown(text).startswith("first") and shown(text).endswith("last")
