"""Public functions speak of Python's arguments, and refuse what they cannot take before any work."""

import re

import pytest

import dfkd_tune as dt
from dfkd_tune.errors import FeaturesError, NotFound, SpecError, TeacherError


def test_a_teacher_that_is_not_there_is_told_in_one_line(tmp_path):
    with pytest.raises(TeacherError, match=r"nowhere\.pt2.*no such file") as told:
        dt.load_teacher(tmp_path / "nowhere.pt2")
    assert "\n" not in str(told.value) and "--" not in str(told.value)


def test_a_features_file_is_read_as_the_command_line_reads_it(tmp_path):
    file = tmp_path / "features.yaml"
    file.write_text("features: [load, {name: flow, range: [0, 2]}]")
    inputs = dt.read_features(file)
    assert inputs.names == ["load", "flow"] and inputs.tier == "T2"
    file.write_text("features: [load, load]")
    with pytest.raises(FeaturesError, match="load"):
        dt.read_features(file)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"trial": "3"}, "trial"),
        ({"model": 7}, "model"),
        ({"alias": None}, "alias"),
        ({"uri": 1}, "uri"),
        ({"within": "5%"}, "within"),
        ({"within": -0.1}, "within"),
        ({"within": float("nan")}, "within"),
        ({"within": True}, "within"),
        ({"within": 0.1, "trial": 2}, "within"),
        ({"sources": "teacher.pt2"}, "sources"),
        ({"typed_columns": "no"}, "typed_columns"),
    ],
    ids=str,
)
def test_wrong_arguments_of_register_are_named(given, words):
    arguments = {"uri": "sqlite:///nowhere.db", "study": "pump", "model": "pump"} | given
    with pytest.raises(SpecError, match=f"register: {words}: "):
        dt.register(**arguments)


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"source": 3}, "source"),
        ({"source": None}, "source"),
        ({"source": b"net.pt2"}, "source"),
        ({"source": abs}, "source"),
        ({"source": ""}, "source"),
        ({"architecture": 3}, "architecture"),
        ({"trust_pickle": "no"}, "trust_pickle"),
    ],
    ids=str,
)
def test_wrong_arguments_of_load_teacher_are_named(given, place):
    """A text such as ``no`` is true in Python, and would load code."""
    with pytest.raises(SpecError, match=f"load_teacher: {place}: must be"):
        dt.load_teacher(**{"source": "nowhere.pkl"} | given)


@pytest.mark.parametrize("given", [{"path": 3}, {"path": ""}, {"signature": "x"}], ids=str)
def test_wrong_arguments_of_read_features_are_named(given):
    with pytest.raises(SpecError, match=f"read_features: {next(iter(given))}: must be"):
        dt.read_features(**{"path": "nowhere.yaml"} | given)


def test_an_unknown_study_is_not_registered(store):
    with pytest.raises(NotFound, match=re.escape("study 'nobody'")) as told:
        dt.register(store.tracking, "nobody", "pump")
    assert "--" not in str(told.value)
