"""Missing values in a table: refused, dropped or levels; and what the command line says of them."""

import numpy as np
import pytest
from written_tables import GAPS, given, refused, told

from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs.features_file import read_features
from dfkd_tune.tables.describe import describe
from dfkd_tune.tables.files import describe_file
from dfkd_tune.tables.read import Reading
from dfkd_tune.utils import yaml_io


def test_missing_values_are_refused_with_their_counts(tmp_path):
    refused(given(tmp_path, GAPS), "of 101 rows", "a 25, b 26, c 25", "--missing drop", "--missing level")


def test_rows_with_missing_values_are_dropped_and_counted(tmp_path):
    table = told(given(tmp_path, GAPS), missing="drop")
    assert len(table.columns) == 50 and not np.isnan(table.columns).any()
    assert table.notes == ("51 of 101 rows left out, in which a value is missing",)
    assert len(told(given(tmp_path, GAPS), missing="drop", without=["a", "b"]).columns) == 76


def test_a_missing_value_is_a_level(tmp_path):
    path = given(tmp_path, GAPS)
    table = told(path, missing="level", without=["a"])
    b, c = describe(table, "correlation", 10).features
    assert b["levels"] == ["blue", "red", None] and b["probabilities"] == pytest.approx([25 / 101, 50 / 101, 26 / 101], abs=1e-5)  # fmt: skip
    assert c["levels"] == [0.0, 1.0, None]
    written = yaml_io.dump(describe(table, "quantiles", 10).tree(), compact=True)
    assert "[blue, red, null]" in written and "[0.0, 1.0, null]" in written


def test_a_rare_gap_is_withheld_like_a_rare_level(tmp_path):
    path = given(tmp_path, "a\n" + "1\n2\n" * 100 + '""\n' * 9)
    found = describe(told(path, missing="level"), "quantiles", 10)
    assert found.features[0]["levels"] == [1.0, 2.0] and found.withheld == {"a": 1}


def test_gaps_among_numbers_are_described_by_their_share(tmp_path):
    path = given(tmp_path, "a,b\n" + "".join(f"{i / 7},{i / 3}\n" for i in range(200)) + ",1\n" * 20 + "1,\n" * 9)
    lines = describe_file(path, tmp_path / "f.yaml", "correlation", reading=Reading(missing="level"))
    a, b = read_features(tmp_path / "f.yaml").features
    assert a.missing == pytest.approx(20 / 229, abs=1e-6) and a.quantiles and a.levels is None
    assert b.missing is None  # nine rows are too few to tell
    assert any("withheld: rare missing values, of b" in line for line in lines)
    assert any("1 of them with the share of missing values" in line for line in lines)
    describe_file(path, tmp_path / "f.yaml", "moments", reading=Reading(missing="level"))
    assert read_features(tmp_path / "f.yaml").features[0].mean == pytest.approx(
        np.mean(np.r_[np.arange(200) / 7, [1] * 9])
    )


def test_a_column_of_few_numbers_is_refused(tmp_path):
    path = given(tmp_path, "a,b\n" + "".join(f"{i / 7},1\n" for i in range(99)) + ",1\n" * 200)
    with pytest.raises(FeaturesError, match=r"a: 99 of 299 values are there, 100 are needed.*--at-least"):
        describe_file(path, tmp_path / "f.yaml", reading=Reading(missing="level"))


def test_an_empty_column_is_named(tmp_path):
    for missing in ("refuse", "drop", "level"):
        refused(given(tmp_path, "a,b\n" + "1,\n" * 100), ": b: holds no value", "--target b", missing=missing)


def test_levels_of_words_and_missing_are_read_back(tmp_path):
    out = tmp_path / "f.yaml"
    describe_file(given(tmp_path, GAPS), out, "correlation", ("a",), Reading(missing="level"))
    b, c = read_features(out).features
    assert b.levels == ["blue", "red", None] and c.levels == [0.0, 1.0, None]
