"""What a declaration of inputs must not say, and the files that hold one."""

from functools import partial

import pytest
from asked import fails as told

from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.features_file import parse_features, read_features
from dfkd_tune.testing.problems import raw, rng

fails = partial(told, kind=FeaturesError)


def write(tmp_path, text: str):
    path = tmp_path / "features.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_features_file_says_what_it_says(tmp_path):
    text = """
features:
  - age
  - {name: load, mean: 0.3, std: 1e-3}
  - {name: valve, levels: [0, 1, 4], probabilities: [1, 0, 0]}
  - {name: température, range: [-5, 1E+2]}
  - {name: count, range: [0, 9], integer: true}
simplex: [age, load]
"""
    inputs = read_features(write(tmp_path, text))
    assert inputs.features == (
        Feature(name="age"),
        Feature(name="load", mean=0.3, std=0.001),
        Feature(name="valve", levels=[0.0, 1.0, 4.0], probabilities=[1.0, 0.0, 0.0]),
        Feature(name="température", range=[-5.0, 100.0]),
        Feature(name="count", range=[0.0, 9.0], integer=True),
    )
    assert inputs.names == ["age", "load", "valve", "température", "count"]
    assert inputs.simplex == (0, 1)


def test_whole_and_decimal_numbers_declare_the_same(tmp_path):
    whole = read_features(write(tmp_path, "features: [{name: x, mean: 1, std: 2, range: [0, 3]}]"))
    decimal = read_features(write(tmp_path, "features: [{name: x, mean: 1.0, std: 2.0, range: [0.0, 3.0]}]"))
    assert whole.fingerprint() == decimal.fingerprint()


def test_a_grid_declares_its_pixels(tmp_path):
    text = "grid: {height: 2, width: 3, range: [0, 16], mean: [1, 2, 3, 4, 5, 0], std: [1, 1, 1, 1, 1, 0]}"
    inputs = read_features(write(tmp_path, text))
    assert inputs.names == ["pixel_0_0", "pixel_0_1", "pixel_0_2", "pixel_1_0", "pixel_1_1", "pixel_1_2"]
    assert inputs.features[4] == Feature(name="pixel_1_1", mean=5.0, std=1.0, range=[0.0, 16.0])
    assert float(raw(inputs, inputs.draw(100, rng()))[:, 5].abs().max()) == 0.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("features: [{name: a, mean: 1}]", ["features[0]", "mean and std are given together"]),
        ("features: [a, {name: b, range: [3, 1]}]", ["features[1]", "low < high", "[3.0, 1.0]"]),
        ("features: [a, {name: b, std: .5, mean: x}]", ["features[1].mean", "valid number", "got 'x'"]),
        ("features: [{name: a, shape: normal}]", ["features[0].shape", "unknown key", "known keys: name, mean"]),
        ("features: [{mean: 1, std: 1}]", ["features[0].name", "required"]),
        ("features: [a, b, a]", ["features[2].name", "'a' is given twice"]),
        ("features: [a, {name: a}]", ["features[1].name", "'a' is given twice"]),
        ("features: [a, [b]]", ["features[1]", "a name or a mapping", "['b']"]),
        ("features: [a, no]", ["features[1]", "a name or a mapping", "False"]),
        ("features: [a, {1: 2}]", ["features[1]", "a key must be a word", "1"]),
        ("features: []", ["features", "at least one feature"]),
        ("features: [{name: a, levels: [yes, no]}]", ["features[0].levels.0", "a word or null, got True", "quote"]),
        ("features: [{name: a, levels: [1, 2020-01-31]}]", ["levels.1", "a word or null", "date", "quote"]),
        ("features: [{name: a, levels: [1, [2]]}]", ["levels.1", "a word or null, got [2]"]),
        ("features: [{name: a, std: -1, mean: 0}]", ["features[0].std", "reads a features file"]),
        (
            "features: [{name: a, mean: 40, std: 9}, b]\nsimplex: [a, b]",
            ["simplex", "'a' is said to be 0 or 40", "percent"],
        ),
        ("features: [{name: a, quantiles: {0.1: 20, 0.9: 90}}, b]\nsimplex: [a, b]", ["simplex", "0 or 90", "percent"]),
        ("features: a", ["features", "list", "'a'"]),
        ("features: [a]\nfeature: [b]", ["feature:", "unknown key", "features"]),
        ("names: [a]", ["names", "unknown key", "features"]),
        ("- a\n- b", ["features, with a list"]),
        ("", ["features, with a list"]),
        ("simplex: [a, b]", ["features, window, grid or arguments"]),
        ("features: [a]\ngrid: {height: 1, width: 1}", ["features, window, grid or arguments"]),
        ("features: [a, b]\nsimplex: [a]", ["simplex", "at least two names"]),
        ("features: [a, b]\nsimplex: [a, a]", ["simplex", "twice"]),
        ("features: [a, b]\nsimplex: [a, c]", ["simplex", "'c'"]),
        ("grid: {height: 2, width: 2, mean: [1, 2], std: [1, 1]}", ["grid", "4 pixels", "2 and 2"]),
        ("grid: {height: 0, width: 2}", ["grid.height", "greater than or equal to 1", "got 0"]),
        ("grid: [1, 2]", ["grid", "mapping", "[1, 2]"]),
        ("grid: {height: 1, width: 1, mean: [1]}", ["grid", "mean and std are given together"]),
    ],
)
def test_features_files_that_say_something_impossible(tmp_path, text, words):
    path = write(tmp_path, text)
    with fails(path, *words):
        read_features(path)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("features: [a, b", ":1:16", ["not valid YAML"]),
        ("features:\n\t- a", ":2:1", ["not valid YAML"]),
        ("features: [a]\nfeatures: [b]", ":2:1", ["not valid YAML", "'features' is given twice"]),
        ("features:\n  - {name: a, std: 1, std: 2}", ":2:23", ["'std' is given twice"]),
        ("? [a]\n: b", ":1:3", ["a key must be a plain word"]),
        ("features: !!python/object/apply:os.getcwd []", ":1:11", ["not valid YAML", "constructor"]),
        ("features: *nowhere", ":1:11", ["not valid YAML", "nowhere"]),
        ("features: !a%0Ab [c]", ":1:11", ["not valid YAML", "constructor"]),
        ("features: !!timestamp soon", "", ["not valid YAML"]),
        ("features: !!int", "", ["not valid YAML"]),
        ("features: 2020-99-99", "", ["not valid YAML", "month"]),
        ("features: \x01", "", ["not valid YAML"]),
        ("[" * 3000, "", ["not valid YAML"]),
    ],
)
def test_files_that_are_not_yaml(tmp_path, text, place, words):
    path = write(tmp_path, text)
    with fails(f"{path}{place}", *words):
        read_features(path)


def test_files_that_cannot_be_read(tmp_path):
    with fails(tmp_path / "none.yaml", "no such file"):
        read_features(tmp_path / "none.yaml")
    with fails(tmp_path, "cannot be read", "directory"):
        read_features(tmp_path)
    path = tmp_path / "features.yaml"
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    with fails(path, "not a text file"):
        read_features(path)


def test_words_that_yaml_takes_for_truth_values_must_be_quoted(tmp_path):
    path = tmp_path / "features.yaml"
    path.write_text("features: [{name: country, levels: [DE, NO, FR]}]")
    with fails(path, "levels", "quote", "no"):
        read_features(path)
    path.write_text("features: [{name: country, levels: [DE, 'NO', FR]}]")
    assert read_features(path).features[0].labels == ["DE", "NO", "FR"]


@pytest.mark.parametrize("said", [{"range": [0, 2**60]}, {"mean": 1e16, "std": 3}, {"quantiles": {0.1: 0, 0.9: 1e17}}])
def test_whole_numbers_that_float64_does_not_hold_are_refused(said):
    with fails("features[0]", "2 ** 53"):
        parse_features({"features": [{"name": "serial", "integer": True, **said}]}, "x")
