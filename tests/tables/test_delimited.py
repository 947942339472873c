"""Laws of delimited files: whatever way a table is written it is the same table, and what can be read two ways is refused."""

import bz2
import gzip
import io
import lzma
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from written_tables import FRAME, PLAIN, assert_same, given, refused, told

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
        (b"PAR1junk", ["is not a text table but parquet", "--format parquet"]),
        (b"a,b\n1,2\0\n" * 20, ["is not text"]),
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
        ("a,b\n", ["names of 2 columns and no rows"]),
        ("a,b", ["names of 2 columns and no rows"]),
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
