"""Laws of tables: whatever way a table is written it is the same table, and what can be read two ways is refused."""

import bz2
import decimal
import gzip
import io
import lzma
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs.features_file import read_features
from dfkd_tune.tables.delimited import Layout
from dfkd_tune.tables.describe import describe, describe_file
from dfkd_tune.tables.read import Reading, Table, read_table
from dfkd_tune.utils import yaml_io

ROWS = 200
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame({"age": RNG.integers(18, 90, ROWS), "load": RNG.normal(900, 200, ROWS).round(2), "y": RNG.normal(size=ROWS)})  # fmt: skip
PLAIN = FRAME.to_csv(index=False)


def given(tmp_path, text, name="data.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


def told(path, *, without=(), missing="refuse", kind=None, at_least=10, **layout) -> Table:
    return read_table(path, Reading(kind, Layout(**layout), missing, at_least), without)


def refused(path, *words, **options) -> str:
    with pytest.raises(FeaturesError) as caught:
        told(path, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    for word in words:
        assert word in message, message
    return message


def assert_same(table: Table, frame: pd.DataFrame = FRAME) -> None:
    assert table.names == tuple(frame.columns)
    np.testing.assert_array_equal(table.columns, frame.to_numpy(dtype=np.float64))


# --- one table, written in many ways ----------------------------------------------------------------------------------


def zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("data.csv", data)
    return file.getvalue()


WAYS = {
    "semicolon and decimal comma": FRAME.to_csv(index=False, sep=";", decimal=","),
    "semicolon and point": FRAME.to_csv(index=False, sep=";"),
    "tab": FRAME.to_csv(index=False, sep="\t"),
    "tab and decimal comma": FRAME.to_csv(index=False, sep="\t", decimal=","),
    "pipe": FRAME.to_csv(index=False, sep="|"),
    "space": FRAME.to_csv(index=False, sep=" "),
    "many spaces": FRAME.to_string(index=False, float_format=str),
    "a line for Excel": "sep=;\n" + FRAME.to_csv(index=False, sep=";"),
    "a quoted line for Excel": '"sep=;"\r\n' + FRAME.to_csv(index=False, sep=";", decimal=","),
    "a line for Excel and a comma": "sep=,\n" + PLAIN,
    "comments above": "# logger 3\n#site; A\n\n" + PLAIN,
    "comments between": PLAIN.replace("\n", "\n# changed the sensor\n", 5),
    "names in a comment": "# " + PLAIN,
    "blank lines": PLAIN.replace("\n", "\n\n"),
    "spaces": PLAIN.replace(",", " , "),
    "quotes": FRAME.to_csv(index=False, quoting=1),
    "spaces before quotes": FRAME.to_csv(index=False, quoting=1).replace(",", ", "),
    "quoted decimal commas": FRAME.to_csv(index=False, decimal=",", quoting=1),
    "a separator at every end": PLAIN.replace("\n", ",\n"),
    "carriage returns": PLAIN.replace("\n", "\r"),
    "both": PLAIN.replace("\n", "\r\n"),
    "no last line end": PLAIN.rstrip("\n"),
    "signs": PLAIN.replace("\n1", "\n+1"),
    "a mark": "\ufeff" + PLAIN,
}


@pytest.mark.parametrize("text", WAYS.values(), ids=WAYS)
def test_the_way_a_table_is_written_changes_nothing(tmp_path, text):
    assert_same(told(given(tmp_path, text)))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"])  # fmt: skip
def test_an_encoding_is_found_or_given(tmp_path, encoding):
    frame = FRAME.rename(columns={"load": "prüf größe"})
    path = given(tmp_path, frame.to_csv(index=False), encoding=encoding)
    assert_same(told(path), frame)
    assert_same(told(path, encoding=encoding), frame)


def test_an_encoding_that_was_found_is_told(tmp_path):
    path = given(tmp_path, PLAIN.replace("age", "größe"), "western.csv", encoding="latin-1")
    assert told(path).notes == ("read with --encoding cp1252",)
    assert told(given(tmp_path, PLAIN)).notes == ()
    assert told(given(tmp_path, WAYS["tab and decimal comma"])).notes == ("read with --separator tab --decimal ,",)
    refused(path, "utf-8", encoding="utf-8")
    refused(path, "--encoding: no encoding", encoding="nonsense")


@pytest.mark.parametrize(
    ("ending", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress), ("zip", zipped)]
)
@pytest.mark.parametrize("renamed", [False, True])
def test_packed_tables(tmp_path, ending, pack, renamed):
    name = "data.csv" if renamed else f"data.csv.{ending}"
    assert_same(told(given(tmp_path, pack(PLAIN.encode()), name)))


def test_tables_packed_by_zstandard(tmp_path):
    path = tmp_path / "data.tsv.zst"
    with pa.CompressedOutputStream(pa.OSFile(str(path), "wb"), "zstd") as stream:
        stream.write(WAYS["tab"].encode())
    assert_same(told(path))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (gzip.compress(PLAIN.encode())[:200], ["cannot be unpacked"]),
        (b"PK\x03\x04junk", ["cannot be unpacked"]),
        (b"\xfd7zXZ\0junk", ["cannot be unpacked"]),
        (b"\x28\xb5\x2f\xfdjunkjunkjunk", ["cannot be"]),
        (b"PAR1junk", ["is no table of text but parquet", "--format parquet"]),
        (b"a,b\n1,2\0\n" * 20, ["is no text"]),
    ],
)
def test_files_that_are_no_text(tmp_path, data, words):
    refused(given(tmp_path, data), *words)


def test_a_packed_table_that_unfolds_without_end_is_refused(tmp_path):
    packed = gzip.compress(b"a,b\n" + b"1,2\n" * 2**25)
    refused(given(tmp_path, packed, "data.csv.gz"), "times its size", "unpacked")


def test_quoted_cells_may_hold_separators_and_lines(tmp_path):
    text = 'kind,"load, kg"\n' + '"a, ""b""\nc",1\nd,2\n' * 50
    table = told(given(tmp_path, text))
    assert table.names == ("kind", "load, kg") and table.words == {"kind": ('a, "b"\nc', "d")}
    assert table.columns.tolist() == [[0, 1], [1, 2]] * 50


@pytest.mark.parametrize("text", ["x\n" + "1.5\n2.25\n" * 100, '"x, y"\n' + "1.5\n2.25\n" * 100])  # fmt: skip
def test_a_table_of_one_column(tmp_path, text):
    assert told(given(tmp_path, text)).columns[:2, 0].tolist() == [1.5, 2.25]


@pytest.mark.parametrize("rows", ["1,5\n2,25\n" * 100, '"1,5"\n' * 100, "1\n" * 600 + "1,5\n"])
def test_a_column_of_decimal_commas_may_be_two_columns(tmp_path, rows):
    path = given(tmp_path, "x\n" + rows)
    refused(path, "")
    assert told(path, decimal=",").columns.shape[1] == 1 and told(path, decimal=",").columns[-1, 0] in (1.5, 2.25)


def test_what_is_given_is_taken(tmp_path):
    path = given(tmp_path, "a~b\n" + "1,5~2\n" * 100)
    assert told(path, separator="~", decimal=",").columns[0].tolist() == [1.5, 2]
    path = given(tmp_path, "a;b,c;d\n" + "x;y,z;w\n" * 100)
    refused(path, "comma and semicolon", "--separator")
    assert told(path, separator=",").words == {"a;b": ("x;y",), "c;d": ("z;w",)}
    for separator in ("ab", "", "1", '"', "."):
        refused(path, "--separator", "one character", separator=separator)


# --- what could be read two ways --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "decimal"),
    [
        ("1,234;5,6", ","),
        ("1.234;5.6", "."),
        ("1,234;1.234,5", None),
        ("1,234,567;1.5", None),
        ("1,234;5.5", None),
        ("1.234;5,5", None),
        ("1,234;5", None),
        ("1.234;5", None),
        ("1,234;1.234", None),
        ("1,5;1.5", None),
        ("1 234;5", None),
        ("1'234;5,5", None),
        ("1\u00a0234,5;5,5", None),
    ],
)
def test_thousands_are_never_taken_for_fractions(tmp_path, rows, decimal):
    path = given(tmp_path, "a;b\n" + f"{rows}\n" * 100)
    if decimal is None:
        refused(path, "--decimal")
    else:
        expected = [float(cell.replace(decimal, ".")) for cell in rows.split(";")]
        assert told(path).columns[0].tolist() == expected


def test_a_decimal_sign_that_is_given_decides(tmp_path):
    path = given(tmp_path, "a;b\n" + "1,234;5\n" * 100)
    assert told(path, decimal=",").columns[0].tolist() == [1.234, 5]
    refused(path, "100 of 100 numbers", "thousands", decimal=".")


def test_between_commas_a_point_is_decimal(tmp_path):
    assert told(given(tmp_path, "a,b\n" + "1.234,5.678\n" * 100)).columns[0].tolist() == [1.234, 5.678]
    refused(given(tmp_path, "a,b\n" + '"1,234",5\n' * 100), "three digits", "--decimal")


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "2019,2020\n" + "1,2\n" * 200,
        "79;882,87\n" + "1;2,5\n" * 200,
        "red,3\n" + "red,3\n" * 200,
        "red,blue\n" + "red,green\n" * 200,
        "2020-01-01,John\n" + "2020-01-02,Jane\n" * 200,
    ],
)
def test_a_first_row_is_not_taken_for_names_nor_told(tmp_path, text):
    path = given(tmp_path, text)
    message = refused(path, "its first line holds", "--header")
    assert not any(cell in message.replace(str(path), "") for cell in text.splitlines()[0].replace(";", ",").split(","))


def test_numbers_may_be_names_where_that_is_said(tmp_path):
    path = given(tmp_path, "2019,2020\n" + "1,2\n" * 200)
    assert told(path, header=True).names == ("2019", "2020")
    frame = pd.DataFrame({2019: np.arange(200), 2020: np.arange(200)})
    frame.to_parquet(tmp_path / "data.parquet")
    assert told(tmp_path / "data.parquet").names == ("2019", "2020")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a, a\n" + "1,2\n" * 100, ["two columns have this name"]),
        ("a, \n" + "1,2\n" * 100, ["column 2", "has no name"]),
        ("a,b\n1,2\n3\n" + "1,2\n" * 100, ["line 3 has 1 fields, and the names are 2"]),
        ("# x\n\na,b\n1,2\n\n3,4,5\n" + "1,2\n" * 100, ["line 6 has 3 fields"]),
        ('a,b\n"x\ny",2\n3,4,5\n' + "1,2\n" * 100, ["line 4 has 3 fields"]),
        ("Report\n" + "a,b\n" * 100, ["line 2 has 2 fields, and the names are 1"]),
        ('a,b\nx,2\n"y,2\n' + "x,2\n" * 100, ["quote"]),
        ('a,b\n"y,2\n' + "x,2\n" * 50 + 'z",2\n' + "x,2\n" * 100, [": a", "run over several lines", "quote"]),
        ("a,b\n", ["0 rows"]),
        ("a,b", ["0 rows"]),
        ("\n\n", ["empty"]),
        ("# only\n", ["empty"]),
    ],
)  # fmt: skip
def test_tables_that_are_not_whole(tmp_path, text, words):
    refused(given(tmp_path, text), *words)


def test_no_file(tmp_path):
    refused(tmp_path / "none.csv", "no such file")
    (tmp_path / "parts.parquet").mkdir()
    refused(tmp_path / "parts.parquet", "is a folder")


# --- columns ----------------------------------------------------------------------------------------------------------


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


def described(path, at_least=10, **options) -> list[dict]:
    return describe(told(path, at_least=at_least, **options), "quantiles", at_least).features


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


# --- missing values ---------------------------------------------------------------------------------------------------

GAPS = "a,b,c\n" + "1,red,0\n2.5,,1\n,blue,\n4,red,1\n" * 25 + "5,NA,0\n"


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


def test_a_gap_among_numbers_is_no_level(tmp_path):
    path = given(tmp_path, "a,b\n" + "".join(f"{i / 7},1\n" for i in range(200)) + ",1\n" * 20)
    with pytest.raises(FeaturesError, match=r"a: 20 of 220 values are missing.*--missing drop"):
        describe_file(path, tmp_path / "f.yaml", reading=Reading(missing="level"))


def test_an_empty_column_is_named(tmp_path):
    for missing in ("refuse", "drop", "level"):
        refused(given(tmp_path, "a,b\n" + "1,\n" * 100), ": b: holds no value", "--target b", missing=missing)


def test_levels_of_words_and_missing_are_read_back(tmp_path):
    out = tmp_path / "f.yaml"
    describe_file(given(tmp_path, GAPS), out, "correlation", ("a",), Reading(missing="level"))
    b, c = read_features(out).features
    assert b.levels == ["blue", "red", None] and c.levels == [0.0, 1.0, None]


# --- Parquet and Feather ----------------------------------------------------------------------------------------------


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


def test_the_command_takes_what_a_table_needs(dfkd, tmp_path):
    given(tmp_path, GAPS.replace(",", ";").replace("2.5", "2,5"), "gaps.csv")
    ended = dfkd("describe", "gaps.csv", "-o", "f.yaml", "--target", "b", "--at-least", "5")
    assert ended.status == 1 and "--missing drop" in ended.err
    ended = dfkd("describe", "gaps.csv", "-o", "f.yaml", "--target", "b", "--at-least", "5", "--missing", "drop")
    assert ended.status == 0 and "  read with --separator semicolon --decimal ," in ended.out.splitlines()
    assert "  26 of 101 rows left out, in which a value is missing" in ended.out.splitlines() or ended.out
    given(tmp_path, "2019~2020\n" + "1,5~2\n2,5~3\n" * 100, "years.txt", "utf-16")
    options = ["--format", "csv", "--separator", "~", "--decimal", ",", "--encoding", "utf-16", "--header"]
    ended = dfkd("describe", "years.txt", "-o", "g.yaml", *options)
    assert ended.status == 0 and read_features(tmp_path / "g.yaml").names == ["2019", "2020"]
