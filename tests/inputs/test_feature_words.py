"""Declared inputs as a table in a notebook."""

import pandas as pd

from dfkd_tune.api.describe import describe
from dfkd_tune.inputs.feature_words import MOST_ROWS
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.inputs.summary import in_short


def test_inputs_are_a_table():
    tree = {
        "features": ["<b>", {"name": "load", "mean": 3, "std": 2}, {"name": "kind", "levels": ["a", "b"]}],
        "rank_correlation": [[1], [0.5, 1], [0, 0, 1]],
    }
    page = parse_features(tree, "features.yaml")._repr_html_()
    assert "Tier T4" in page and "mean 3, standard deviation 2" in page and "one of a, b" in page
    assert "&lt;b&gt;" in page and "<b>" not in page
    assert "0.5" in page  # what is known of two together


def test_a_unit_is_told_and_changes_nothing():
    plain = {"features": [{"name": "load", "range": [0, 9], "missing": 0.1}, "flow"]}
    told = {"features": [plain["features"][0] | {"unit": "kg/h"}, {"name": "flow", "unit": "K"}]}
    inputs, same = parse_features(told, "features.yaml"), parse_features(plain, "features.yaml")
    assert inputs.fingerprint() == same.fingerprint() and inputs.tier == same.tier
    assert in_short(inputs) == {"load": {"unit": "kg/h", "values": "between 0 and 9"}, "flow": {"unit": "K"}}
    assert in_short(same) == {"load": {"values": "between 0 and 9"}}
    assert "in kg/h, between 0 and 9" in inputs._repr_html_()


def test_a_channel_is_one_row():
    tree = {"window": {"steps": 24, "channels": [{"name": "flow", "time_constant": 3}, "heat"]}}
    page = parse_features(tree, "features.yaml")._repr_html_()
    assert "flow[0] to flow[23]" in page and page.count("<tr>") < 10


def test_many_features_are_counted():
    page = Inputs.unknown(MOST_ROWS + 5)._repr_html_()
    assert "and 5 more" in page and "x23" in page and "x24" not in page


def test_a_description_is_a_table():
    frame = pd.DataFrame({"load": [float(i % 50) for i in range(400)], "kind": ["a", "b"] * 200})
    page = describe(frame)._repr_html_()
    assert "load" in page and "one of a, b" in page and "400" in page
