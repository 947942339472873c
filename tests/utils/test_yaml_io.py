"""YAML as people write it is read, what is not plain is refused with its line, and what is written reads back."""

import pytest
from asked import fails

from dfkd_tune.errors import FeaturesError, SpecError
from dfkd_tune.inputs.features_file import read_features
from dfkd_tune.utils import yaml_io


def test_an_alias_within_itself_is_refused(tmp_path):
    path = tmp_path / "features.yaml"
    path.write_text("features: &a [b, *a]\n")
    with pytest.raises(FeaturesError, match="lies within what it stands for"):
        read_features(path)


def test_aliases_and_merges_that_people_write_are_read():
    text = "base: &b {lr: 1e-3, w: 2}\nother: {<<: *b, w: 3}\nboth: {<<: [{w: 5}, *b]}\nlist: [*b, *b]"
    tree = yaml_io.parse(text, "here", SpecError)
    assert tree["other"] == {"lr": 1e-3, "w": 3} and tree["both"] == {"w": 5, "lr": 1e-3}
    assert tree["list"] == [tree["base"]] * 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("-2e+5", -200000.0),
        ("+1.5e2", 150.0),
        ("1_000e3", 1e6),
        (".5", 0.5),
        ("-.5", -0.5),
        ("+.5e1", 5.0),
        ("1.e-3", 0.001),
        ("0.25", 0.25),
        ("3", 3),
    ],
)
def test_numbers_are_numbers(text, value):
    (found,) = yaml_io.parse(f"[{text}]", "here", FeaturesError)
    assert type(found) is type(value) and found == value


@pytest.mark.parametrize("text", ["e3", "1e", "1e-3x", "1e3.5", "1-e3", "-", ".", "'1e-3'"])
def test_words_stay_words(text):
    (found,) = yaml_io.parse(f"[{text}]", "here", FeaturesError)
    assert isinstance(found, str)


@pytest.mark.parametrize("text", ["010", "-0777", "12:30", "1:30.5"])
def test_octal_numbers_and_those_of_base_60_are_refused(text):
    """Their author means a postal code, or a time."""
    with fails("here:1:2", text, "quote", kind=FeaturesError):
        yaml_io.parse(f"[{text}]", "here", FeaturesError)
    assert yaml_io.parse(f"['{text}']", "here", FeaturesError) == [text]


def test_what_is_dumped_reads_back():
    tree = {
        "b": [1, 2.5, 1e-3, True, None],
        "a": {"name": "température", "value": "1e-3", "no": "no", "zip": ["010", "1:30"]},
    }
    assert yaml_io.parse(yaml_io.dump(tree), "here", FeaturesError) == tree
    assert list(yaml_io.parse(yaml_io.dump(tree), "here", FeaturesError)) == ["b", "a"]
