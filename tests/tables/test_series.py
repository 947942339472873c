"""Which rows follow each other: groups, times, gaps, and rows that were dropped."""

import numpy as np
import pandas as pd
import pytest
from written_tables import refused as read_refused

from dfkd_tune.errors import FeaturesError
from dfkd_tune.tables.read import Reading, read_table
from dfkd_tune.tables.series import Windows, cut_into

HOURS = pd.date_range("2020-02-27", periods=80, freq="h")


def written(folder, frame: pd.DataFrame, name: str = "data.csv"):
    path = folder / name
    frame.to_csv(path, index=False) if name.endswith("csv") else frame.to_parquet(path)
    return path


def series_in(path, steps=3, missing="refuse", **keys) -> tuple[list[list[float]], tuple[str, ...]]:
    """The first column in series, and the notes."""
    table = read_table(path, Reading(missing=missing, windows=Windows(steps, **keys)))
    return [table.columns[table.series == i, 0].tolist() for i in np.unique(table.series)], table.notes


def test_rows_are_in_order_unless_a_column_says_otherwise(tmp_path):
    path = written(tmp_path, pd.DataFrame({"x": [5.0, 3.0, 4.0, 1.0], "t": [2, 0, 1, 3]}))
    assert series_in(path)[0] == [[5, 3, 4, 1]]
    assert series_in(path, time="t")[0] == [[3, 4, 5, 1]]


@pytest.mark.parametrize("name", ["data.csv", "data.parquet"])
@pytest.mark.parametrize(
    "times",
    [
        HOURS,
        HOURS.date,
        HOURS.astype("int64"),
        HOURS.strftime("%Y-%m-%dT%H:%M:%S"),
        HOURS.strftime("%Y-%m-%d %H:%M:%S+00:00"),
        np.linspace(-1e-3, 5e3, 80),
    ],
    ids=["timestamps", "dates", "nanoseconds", "text", "zones", "numbers"],
)
def test_times_of_any_kind_order_rows(tmp_path, times, name):
    if len({*times}) < len(times):  # one a day
        times = pd.date_range("2020-02-27", periods=80, freq="D").date
    frame = pd.DataFrame({"x": np.arange(80.0), "when": times, "site": "a"})
    path = written(tmp_path, frame.sample(frac=1, random_state=0).reset_index(drop=True), name)
    assert series_in(path, time="when", group="site")[0] == [list(range(80))]


def test_no_series_crosses_a_group(tmp_path):
    frame = pd.DataFrame({"x": np.arange(12.0), "site": ["b", "a"] * 5 + ["c", "c"]})
    found, notes = series_in(written(tmp_path, frame), group="site")
    assert sorted(found) == [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]
    assert notes == ("left out: 1 of 3 series with fewer than 3 rows, 2 rows in all",)


def test_no_series_crosses_a_gap_in_time(tmp_path):
    frame = pd.DataFrame({"x": np.arange(10.0), "t": [0, 1, 2, 3, 9, 10, 11.2, 12, 13, 14]})
    found, notes = series_in(written(tmp_path, frame), time="t")
    assert found == [[0, 1, 2, 3], [4, 5, 6, 7, 8, 9]]
    assert notes == ("gaps in time, which no window crosses: 1",)


@pytest.mark.parametrize("keys", [{}, {"time": "t"}])
def test_a_row_that_is_dropped_leaves_a_gap(tmp_path, keys):
    frame = pd.DataFrame({"x": np.arange(10.0), "y": [1.0] * 3 + [None] + [1.0] * 6, "t": np.arange(10)})
    found, notes = series_in(written(tmp_path, frame), missing="drop", **keys)
    wanted = [[0, 1, 2], [4, 5, 6, 7, 8, 9]]
    assert found == wanted and "1 of 10 rows left out, in which a value is missing" in notes


def test_what_orders_rows_is_not_described(tmp_path):
    frame = pd.DataFrame({"t": np.arange(5), "x": np.arange(5.0), "site": "a"})
    table = read_table(written(tmp_path, frame), Reading(windows=Windows(3, "site", "t")))
    assert table.names == ("x",)


@pytest.mark.parametrize(
    ("frame", "keys", "words"),
    [
        ({"x": [1.0, 2, 3]}, {"time": "when"}, ["when", "no such column", "columns: x"]),
        ({"x": [1.0, 2, 3], "t": [0, 0, 1]}, {"time": "t"}, ["t: 1 of 3 rows have the time of the row before", "--group"]),
        ({"x": [1.0, 2, 3], "t": ["31.1.2020", "1.2.2020", "2.2.2020"]}, {"time": "t"}, ["t: does not hold times", "2020-01-31"]),
        ({"x": [1.0, 2, 3], "t": [0, None, 1]}, {"time": "t"}, ["t: 1 of 3 values are missing"]),
        ({"x": [1.0, 2, 3], "t": ["a", None, "a"]}, {"group": "t"}, ["t: 1 of 3 values are missing"]),
        ({"x": [1.0, 2, 3], "t": ["a", "b", "a"]}, {"group": "t"}, ["no 3 rows follow each other", "longest of 2 series has 2"]),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_cut(tmp_path, frame, keys, words):
    path = written(tmp_path, pd.DataFrame(frame))
    with pytest.raises(FeaturesError) as caught:
        series_in(path, **keys)
    message = str(caught.value)
    assert message.startswith(str(path)) and len(message.splitlines()) == 1
    assert all(word in message for word in words), message


def test_no_time_is_shown(tmp_path):
    frame = pd.DataFrame({"x": [1.0, 2, 3], "t": ["secret", "2020-01-01", "2020-01-02"]})
    with pytest.raises(FeaturesError) as caught:
        series_in(written(tmp_path, frame), time="t")
    assert "secret" not in str(caught.value)


def test_a_column_of_dates_is_refused_unless_it_orders_rows(tmp_path):
    path = written(tmp_path, pd.DataFrame({"x": np.arange(80.0), "when": HOURS}))
    read_refused(path, "when", "dates or times")
    assert len(series_in(path, time="when")[0]) == 1


def test_every_row_of_a_series_is_there_once():
    rng = np.random.default_rng(0)
    groups, times = rng.integers(0, 4, 200), rng.permutation(200).astype(float)
    found = cut_into(Windows(2, "g", "t"), np.arange(200), groups, times)
    assert len({*found.rows.tolist()}) == len(found.rows)
    for i in np.unique(found.series):
        rows = found.rows[found.series == i]
        assert len({*groups[rows].tolist()}) == 1 and bool((np.diff(times[rows]) > 0).all()) and len(rows) >= 2
