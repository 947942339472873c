"""Laws of Parquet and Feather files: the types of Arrow, and an index of pandas."""

import decimal

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather, parquet
from written_tables import FRAME, ROWS, assert_same, refused, told


def kept(tmp_path, table, kind="parquet"):
    path = tmp_path / f"data.{kind}"
    {"parquet": parquet.write_table, "feather": feather.write_feather}[kind](table, path)
    return path


@pytest.mark.parametrize("kind", ["parquet", "feather"])
def test_types_of_arrow(tmp_path, kind):
    n = ROWS
    columns = {
        "small": pa.array(np.arange(n) % 7, pa.int8()),
        "big": pa.array([2**53 - i for i in range(n)], pa.int64()),
        "unsigned": pa.array([2**63] * n, pa.uint64()),
        "money": pa.array([decimal.Decimal(i) / 100 for i in range(n)], pa.decimal128(38, 2)),
        "half": pa.array(np.arange(n, dtype=np.float16)),
        "flag": pa.array([i % 2 == 0 for i in range(n)]),
        "kind": pa.array([f"k{i % 3}" for i in range(n)]),
        "category": pa.array([f"c{i % 3}" for i in range(n)]).dictionary_encode(),
        " spaced ": pa.array(np.arange(n) / 2),
    }
    table = told(kept(tmp_path, pa.table(columns), kind))
    assert table.names == (*list(columns)[:-1], "spaced")
    assert table.words == {"kind": ("k0", "k1", "k2"), "category": ("c0", "c1", "c2")}
    assert table.columns[1].tolist() == [1, 2**53 - 1, 2**63, 0.01, 1, 0, 1, 1, 0.5]


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pa.array([2**53 + 1] * ROWS), ["beyond"]),
        (pa.array([2**53 + 1, None] * (ROWS // 2)), ["beyond"]),
        (pa.array([2**64 - 1] * ROWS, pa.uint64()), ["beyond"]),
        (pa.array([decimal.Decimal("12345678901234567890.1")] * (ROWS - 1) + [decimal.Decimal("12345678901234567890.2")]), ["more digits"]),
        (pa.array([0] * ROWS, pa.timestamp("ns")), ["dates", "timestamp"]),
        (pa.array([0] * ROWS, pa.date32()), ["dates", "date32"]),
        (pa.array([0] * ROWS, pa.duration("s")), ["dates or times", "duration"]),
        (pa.array(["2020-01-01"] * ROWS), ["dates"]),
        (pa.array([b"x"] * ROWS), ["numbers or words", "binary"]),
        (pa.array([[1.0]] * ROWS), ["numbers or words", "list"]),
        (pa.nulls(ROWS), ["holds no value"]),
        (pa.array([1.0, None] * (ROWS // 2)), ["missing: x 100"]),
        (pa.array([1.0, float("nan")] * (ROWS // 2)), ["missing: x 100"]),
        (pa.array([1.0, float("inf")] * (ROWS // 2)), ["100 of 200 values are infinite"]),
    ],
)  # fmt: skip
def test_columns_of_arrow_that_are_no_numbers(tmp_path, column, words):
    refused(kept(tmp_path, pa.table({"x": column})), *words)


def test_an_index_is_a_column_or_refused(tmp_path):
    path = tmp_path / "data.parquet"
    FRAME.set_index("age").to_parquet(path)
    table = told(path)
    assert table.names == ("load", "y", "age") and table.notes == ("the index age is a column; --target age leaves it out",)  # fmt: skip
    assert told(path, without=["age"]).notes == ()
    FRAME[FRAME["age"] > 30].to_parquet(path)
    refused(path, "index without a name", "--target __index_level_0__")
    assert told(path, without=["__index_level_0__"]).names == ("age", "load", "y")
    FRAME.rename_axis("row").to_parquet(path)
    assert told(path).names == ("age", "load", "y", "row") and told(path).columns[:3, 3].tolist() == [0, 1, 2]
    FRAME.to_parquet(path)
    assert_same(told(path))
