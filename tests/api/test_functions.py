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
    [({"trial": "3"}, "trial"), ({"model": 7}, "model"), ({"alias": None}, "alias"), ({"uri": 1}, "uri")],
)
def test_wrong_arguments_of_register_are_named(given, words):
    arguments = {"uri": "sqlite:///nowhere.db", "study": "pump", "model": "pump"} | given
    with pytest.raises(SpecError, match=words):
        dt.register(**arguments)


def test_an_unknown_study_is_not_registered(store):
    with pytest.raises(NotFound, match=re.escape("study 'nobody'")) as told:
        dt.register(store.tracking, "nobody", "pump")
    assert "--" not in str(told.value)
