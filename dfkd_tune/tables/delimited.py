"""Read text tables. Compression, encoding and separator are detected; an ambiguous file is refused, not guessed."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

from dfkd_tune.errors import FeaturesError
from dfkd_tune.tables.arrow import functions
from dfkd_tune.tables.cells import DATE, ONE, TIME, Cells

if TYPE_CHECKING:
    import pyarrow as pa

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "space": " "}
"""Name -> character, in the order of detection."""
ENCODINGS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # fmt: skip
"""Byte order mark -> encoding."""
WESTERN = "cp1252"
"""Encoding of text that is not UTF-8; numbers are the same in every encoding that extends ASCII."""
LOOKED_AT = 500
"""Number of lines from which the separator is detected."""
NO_SEPARATOR = "\"'.,+-_%()[] \t"
"""Signs that are part of numbers, names and units rather than separators."""
LOOSE = 0.5
"""Share of lines with an equal number of separators from which the other lines are reported as ragged."""
FOLD = 8
"""Memory per byte of text that reading takes, at most, in bytes."""
RATIO = 100
"""Largest compression ratio of a table; real tables are far below."""
SMALL_TABLE_BYTES = 1 << 26
"""Decompressed size in bytes that any table may have."""
BLOCK = 1 << 24
_NUMBER = re.compile(r"[-+]?[0-9.,'’_ \u00a0]*[0-9][0-9.,'’_ \u00a0]*([eE][-+]?[0-9]+)?")
_DECIMAL_COMMA = re.compile(r"[-+]?[0-9]*,[0-9]*([eE][-+]?[0-9]+)?")


@dataclass(frozen=True)
class Layout:
    """The layout of a text table; None means that it is detected.

    Args:
        separator: a character, or a name in ``SEPARATORS``.
        decimal: decimal sign, ``.`` or ``,``.
        encoding: name of a Python codec.
        header: whether the first line holds names even if it looks like data.
    """

    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    header: bool = False


@dataclass
class Text:
    """A text table.

    Args:
        names: names of the columns, stripped.
        cells: cells of each column.
        separator: the column separator.
        found: detected options that differ from the usual ones, as command-line options.
    """

    names: list[str]
    cells: list[Cells]
    separator: str
    found: list[str] = field(default_factory=list)


def read_text(path: Path, layout: Layout, room: int) -> Text:
    """Read a text table.

    Args:
        path: path of the file, which may be compressed.
        layout: the known part of its layout.
        room: memory that reading may take, in bytes.

    Raises:
        FeaturesError: the file is not a text table, or is ambiguous.
    """
    text, encoding = _decoded(_unpacked(path, room), layout.encoding, path)
    body, above, note, said = _body(text)
    if not body.strip():
        raise FeaturesError(path, "holds no table: it is empty", remedy="give a table with a line of names")
    separator = _separator(layout.separator, path) or said or _found(body, layout.decimal, path)
    records = _records(body, separator, path)
    rows = _parsed(records, "," if separator == " " else separator, path, above)
    header = [str(column[0]).strip() for column in rows.columns]
    skipped = 1
    if note is not None and _is_row(header) and len(note := next(csv.reader([note], delimiter=separator))) == len(header):  # fmt: skip
        header, skipped = [name.strip() for name in note], 0
    rows = rows.slice(skipped)
    cells = [Cells.of(column, f"{path}: {name}") for name, column in zip(header, rows.columns, strict=True)]
    if not layout.header and header != [str(i) for i in range(len(header))]:
        _refuse_row(header, cells, path)
    kept = [i for i, name in enumerate(header) if name or cells[i].held]  # a separator at the end of every line
    found = ([] if separator == "," else [f"--separator {_name(separator)}"]) + (
        [] if encoding in ("utf-8", "utf-8-sig") else [f"--encoding {encoding}"]
    )
    return Text([header[i] for i in kept], [cells[i] for i in kept], separator, found)


# --- bytes ------------------------------------------------------------------------------------------------------------


def _unpacked(path: Path, room: int) -> bytes:
    """The bytes of a file, decompressed according to its first bytes."""
    import gzip
    import lzma
    import zlib
    from bz2 import BZ2File
    from zipfile import BadZipFile

    packings: dict[bytes, Callable[[Path], io.BufferedIOBase | IO[bytes]]] = {
        b"\x1f\x8b": gzip.open,
        b"BZh": BZ2File,
        b"\xfd7zXZ\0": lzma.open,
        b"PK\x03\x04": lambda file: _member(file),
        b"\x28\xb5\x2f\xfd": _zstd,
    }
    with path.open("rb") as file:
        head = file.read(8)
    if head[:4] == b"PAR1" or head[:6] == b"ARROW1":
        kind = "parquet" if head[:4] == b"PAR1" else "feather"
        raise FeaturesError(path, f"is not a text table but {kind}", remedy=f"give --format {kind}")
    unpack = next((opener for magic, opener in packings.items() if head.startswith(magic)), None)
    most = room // FOLD
    limit = most if unpack is None else min(most, max(SMALL_TABLE_BYTES, RATIO * path.stat().st_size))
    try:
        with (unpack or (lambda file: file.open("rb")))(path) as stream:
            blob = stream.read(limit + 1)
    except (EOFError, zlib.error, lzma.LZMAError, BadZipFile, RuntimeError, NotImplementedError) as error:
        raise FeaturesError(path, f"cannot be unpacked: {error}", remedy="pack it again, or give it unpacked") from None
    if limit < most and len(blob) > limit:
        raise FeaturesError(path, f"decompresses to more than {RATIO} times its size", remedy="give it unpacked")
    if len(blob) > limit:
        raise FeaturesError(
            path,
            f"holds more than the {limit / 2**20:,.0f} MiB of text that this machine has room for",
            remedy="describe a sample of its rows",
        )
    return blob


def _member(path: Path) -> IO[bytes]:
    """The only file of a zip archive."""
    from zipfile import ZipFile

    archive = ZipFile(path)
    names = [item.filename for item in archive.infolist() if not item.is_dir()]
    if "[Content_Types].xml" in names:
        raise FeaturesError(path, "is a workbook, not a text table", remedy="save its sheet as CSV")
    if len(names) != 1:
        raise FeaturesError(path, f"is an archive of {len(names)} files", remedy="give one that holds the table alone")
    return archive.open(names[0])


def _zstd(path: Path) -> IO[bytes]:
    import pyarrow as pa

    return pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")


def _decoded(blob: bytes, encoding: str | None, path: Path) -> tuple[str, str]:
    """The text and its encoding."""
    marked = next((name for mark, name in ENCODINGS.items() if blob.startswith(mark)), None)
    if encoding is not None:
        encodings = [marked if marked and encoding.lower().replace("_", "-").startswith(marked[:6]) else encoding]
    else:
        encodings = [marked] if marked else [_unmarked(blob), WESTERN]
    for name in encodings:
        try:
            text = blob.decode(name)
        except UnicodeDecodeError:
            continue
        except LookupError:
            raise FeaturesError("--encoding", f"no encoding is called {name[:40]!r}", remedy="utf-8, cp1252, utf-16") from None  # fmt: skip
        if "\0" in text:
            break
        return text, name
    tried = " nor ".join(encodings)
    raise FeaturesError(path, f"is not text in {tried}", remedy="give its encoding with --encoding, or export it again")


def _unmarked(blob: bytes) -> str:
    """The encoding without a byte order mark: in UTF-16, every other byte of ASCII text is zero; else UTF-8."""
    head = blob[:4096]
    for zeros, name in ((head[1::2], "utf-16-le"), (head[::2], "utf-16-be")):
        if zeros and zeros.count(0) > 0.4 * len(zeros):
            return name
    return "utf-8"


# --- lines ------------------------------------------------------------------------------------------------------------


def _body(text: str) -> tuple[str, int, str | None, str | None]:
    """The lines from the header on, the number of lines above, the comment right above, and a ``sep=`` separator."""
    place, above, note, said = 0, 0, None, None
    for line in io.StringIO(text, newline=""):
        word = line.strip().strip("\ufeff")
        if match := re.fullmatch(r'"?sep=(.)"?', line.strip("\r\n")):
            said, note = match[1], None
        elif word.startswith("#"):
            note = word.lstrip("# \t")
        elif word:
            break
        else:
            note = None
        place, above = place + len(line), above + 1
    return text[place:], above, note, said


def _separator(given: str | None, path: Path) -> str | None:
    if given is None:
        return None
    separator = SEPARATORS.get(given.lower(), given.replace("\\t", "\t"))
    if len(separator) != 1 or not separator.isascii() or separator.isalnum() or separator in "\"'.+-\r\n\0":
        raise FeaturesError("--separator", f"must be one character, got {given[:40]!r}", remedy=f"or a name: {', '.join(SEPARATORS)}")  # fmt: skip
    return separator


def _found(body: str, decimal: str | None, path: Path) -> str:
    """The separator that occurs equally often in every line."""
    lines = [line for line in islice(io.StringIO(body, newline=None), LOOKED_AT + 1) if not line.startswith("#")]
    counts = {each: _counts(lines[:LOOKED_AT], each) for each in SEPARATORS.values()}
    even = [each for each, found in counts.items() if found and found[0] > 1 and len({*found}) == 1]
    if len(even) > 1:
        even = [each for each in even if each != " "]
    if len(even) > 1:
        even = [each for each in even if _is_clean(lines[1:LOOKED_AT], each, even)] or even
    if len(even) == 1:
        return even[0]
    if even:
        named = " and ".join(_name(each) for each in even)
        raise FeaturesError(path, f"can be read with {named} between its columns", remedy="say which with --separator")
    # Ragged lines are reported later, with their line number.
    loose = {each: _agreeing(found) for each, found in counts.items() if each != " " and _agreeing(found) >= LOOSE}
    if decimal == "," and all(_DECIMAL_COMMA.fullmatch(line.strip()) for line in lines[1:] if "," in line):
        loose.pop(",", None)
    if loose:
        return max(loose, key=lambda each: loose[each])
    _refuse_other(lines, path)
    return ONE


def _refuse_other(lines: Sequence[str], path: Path) -> None:
    """Refuse lines with another character equally often, which probably parts columns."""
    first = lines[0].strip()
    for sign in dict.fromkeys(each for each in first if not each.isalnum() and each not in NO_SEPARATOR):
        times = first.count(sign)
        if len(lines) > 1 and all(line.count(sign) == times for line in lines if line.strip()):
            rule = f"no known separator parts its columns, and every line holds {sign!r} {times:,} times"
            remedy = f"give --separator '{sign}' if that parts them, --separator comma if it is one column"
            raise FeaturesError(path, rule, remedy=remedy)


def _counts(lines: Sequence[str], separator: str) -> list[int]:
    """Number of fields in every line."""
    stripped = (line.strip(" ") for line in lines) if separator == " " else lines
    try:
        rows = [row for row in csv.reader(stripped, delimiter=separator, skipinitialspace=True) if row]
    except csv.Error:
        return []
    return [len(row) for row in (rows[:-1] if len(lines) == LOOKED_AT else rows)]  # the last may end inside a quote


def _agreeing(counts: Sequence[int]) -> float:
    """Share of the lines with the most frequent number of fields, if that is more than one; else 0."""
    usual = max({*counts}, key=list(counts).count, default=1)
    return list(counts).count(usual) / len(counts) if usual > 1 else 0.0


def _is_clean(lines: Sequence[str], separator: str, others: Sequence[str]) -> bool:
    """Whether no cell holds another separator, except for decimal commas."""
    for row in csv.reader(lines, delimiter=separator, skipinitialspace=True):
        for cell in row:
            if any(each in cell for each in others if each != separator) and not _DECIMAL_COMMA.fullmatch(cell.strip()):
                return False
    return True


def _records(body: str, separator: str, path: Path) -> str:
    """Rewrite lines for Arrow, which expects a single separator, and quotes right after it."""
    if separator != " " and not (' "' in body and re.search(rf'(^|{re.escape(separator)}) +"', body, re.MULTILINE)):
        return body
    lines = (line.strip(" ") for line in _lines(body)) if separator == " " else _lines(body)
    made = io.StringIO()
    try:
        rows = csv.reader(lines, delimiter=separator, skipinitialspace=True)
        csv.writer(made, delimiter="," if separator == " " else separator, lineterminator="\n").writerows(filter(None, rows))  # fmt: skip
    except csv.Error:
        raise FeaturesError(path, "a cell is too long or its quotes do not match", remedy="export it again") from None
    return made.getvalue()


def _lines(body: str) -> Iterator[str]:
    return (line.rstrip("\r\n") + "\n" for line in io.StringIO(body, newline=""))


def _parsed(records: str, separator: str, path: Path, above: int) -> pa.Table:
    """Parse all lines into columns of text."""
    import pyarrow as pa
    from pyarrow import csv as reader

    ragged: list[tuple[int, int, int, bool]] = []

    def seen(row: reader.InvalidRow) -> str:
        if not row.text.lstrip().startswith("#"):
            ragged.append((row.number, row.expected_columns, row.actual_columns, "\n" in row.text))
        return "skip"

    width = len(next(csv.reader(io.StringIO(records, newline=""), delimiter=separator)))
    names = [str(i) for i in range(width)]
    try:
        table = reader.read_csv(
            pa.py_buffer(records.encode()),
            read_options=reader.ReadOptions(use_threads=False, column_names=names, block_size=BLOCK),
            parse_options=reader.ParseOptions(
                delimiter=separator, newlines_in_values=True, invalid_row_handler=seen, ignore_empty_lines=True
            ),
            convert_options=reader.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid:  # its message quotes a row, which must not be shown
        raise FeaturesError(path, "cannot be read as csv", remedy="export it again, or give --separator") from None
    long = ragged[0][3] if ragged else len(table) and any("\n" in column[-1].as_py() for column in table.columns)
    if long and records.count('"') % 2:
        raise FeaturesError(path, "a quote is opened and never closed", remedy="close it, or export the table again")
    if ragged:
        number, expected, found, _ = ragged[0]
        raise FeaturesError(
            path,
            f"line {_line(records, separator, number) + above} has {found} fields, and the names are {expected}",
            remedy="give every line as many cells as there are names, or say what parts them with --separator",
        )
    return table


def _line(records: str, separator: str, number: int) -> int:
    """The line on which a record ends; Arrow does not count empty lines."""
    rows = csv.reader(io.StringIO(records, newline=""), delimiter=separator)
    for _ in islice(filter(None, rows), number):
        pass
    return rows.line_num


# --- names ------------------------------------------------------------------------------------------------------------


def _is_row(header: Sequence[str]) -> bool:
    return any(_NUMBER.fullmatch(name) for name in header)


def _refuse_row(header: Sequence[str], cells: Sequence[Cells], path: Path) -> None:
    """Refuse a header that may be a row of data, because names are published."""
    import pyarrow as pa

    pc = functions()
    if _is_row(header):
        raise FeaturesError(
            path,
            "its first line holds numbers, which may be a row",
            remedy="write the columns' names there, or give --header where it holds names",
        )
    dates = any(re.fullmatch(DATE, name) or re.fullmatch(TIME, name) for name in header)
    if dates or any(pc.any(pc.equal(each.text, pa.scalar(name))).as_py() for name, each in zip(header, cells, strict=True)):  # fmt: skip
        raise FeaturesError(
            path,
            "its first line holds a date or a cell of its own column, so that it may be a row",
            remedy="write the columns' names there, or give --header where it holds names",
        )


def _name(separator: str) -> str:
    return next((name for name, character in SEPARATORS.items() if character == separator), separator)
