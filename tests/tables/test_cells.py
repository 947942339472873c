"""Laws of columns: which cells are numbers, which are levels, and which are refused."""

import pytest
from written_tables import described, given, refused, told

from dfkd_tune.errors import FeaturesError
from dfkd_tune.tables.describe import describe
from dfkd_tune.tables.files import describe_file
from dfkd_tune.utils import yaml_io


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("2020-01-01", ["dates"]),
        ("2020-01-01 12:30:00", ["dates"]),
        ("2020-01-01T12:30:00Z", ["dates"]),
        ("31.12.2020", ["dates"]),
        ("2020.12.31", ["dates"]),
        ("2020-12", ["dates"]),
        ("12/31/20", ["dates"]),
        ("12:30", ["times"]),
        ("inf", ["infinite"]),
        ("1e400", ["infinite"]),
        ("9007199254740993", ["beyond 9,007,199,254,740,992"]),
        ("-1700000000123456789", ["beyond"]),
        ("1.23456789012345678e9999999", ["infinite"]),
    ],
)
def test_cells_that_are_no_numbers(tmp_path, cell, words):
    message = refused(given(tmp_path, "a,b\n" + f"1.5,{cell}\n" * 100), ": b: ", *words)
    assert cell not in message or cell == "inf"


def test_numbers_that_float64_makes_one(tmp_path):
    refused(given(tmp_path, "a\n" + "1700000000.123456781\n1700000000.123456782\n" * 100), "more digits")
    same = told(given(tmp_path, "a\n" + "0.1000000000000000055511151231257827\n9007199254740994\n" * 100))
    assert same.columns[:2, 0].tolist() == [0.1, 9007199254740994.0]


@pytest.mark.parametrize("cell", ["1117.27", "2020.5", "2020", "0012", "1e3", "-.5", "5."])
def test_numbers_that_look_like_something_else(tmp_path, cell):
    assert told(given(tmp_path, "a,b\n" + f"{cell},1.25\n" * 100)).columns[0, 0] == float(cell)


def test_flags_are_numbers(tmp_path):
    table = told(given(tmp_path, "a,b\n" + "True,FALSE\nfalse,true\n" * 100))
    assert table.columns[:2].tolist() == [[1, 0], [0, 1]] and not table.words


def test_few_words_are_levels(tmp_path):
    text = "kind,x\n" + "red,1\nblue,2\nred,3\nno,4\n" * 50 + "rare,4\n" * 9
    path = given(tmp_path, text)
    assert described(path)[0] == {
        "name": "kind",
        "levels": ["blue", "no", "red"],
        "probabilities": [0.25, 0.25, 0.5],
    }
    found = describe(told(path), "correlation", 10)
    assert found.withheld == {"kind": 1} and found.rank_correlation[1][0] != 0
    written = yaml_io.dump(found.tree(), compact=True)
    assert "rare" not in written
    assert yaml_io.parse(written, "here", FeaturesError) == found.tree()


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([f"John {i % 30}" for i in range(600)], ["holds words: 30 different values"]),
        (["x"] * 90 + [f"John {i}" for i in range(9)], ["holds words: rare values"]),
    ],
)
def test_words_that_cannot_be_levels_are_not_told(tmp_path, cells, words):
    path = given(tmp_path, "a\n" + "\n".join([*cells, *cells[:1]]) + "\n")
    with pytest.raises(FeaturesError) as caught:
        describe_file(path, tmp_path / "f.yaml")
    message = str(caught.value)
    assert message.startswith(f"{path}: a: ") and "--target" in message and "John" not in message
    assert all(word in message for word in words)


@pytest.mark.parametrize("at_least", [5, 50])
def test_a_cell_is_told_where_enough_rows_share_it(tmp_path, at_least):
    path = given(tmp_path, "a\n" + "1.5\n2.5\n?\n" * 20 + "John Smith\n")
    message = refused(path, "21 of 61 cells are none", "row 3 below", at_least=at_least)
    assert ("'?' in 20" in message) == (at_least == 5)
    assert "John" not in message
