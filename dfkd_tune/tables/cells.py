"""Convert the cells of a text column to numbers, flags or words; errors do not show rare cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from dfkd_tune.errors import FeaturesError
from dfkd_tune.tables.arrow import functions

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

MISSING = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"),
    *("N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
"""Missing values, the same as in pandas."""
ONE = "\x1f"
"""The separator of a table with one column."""
FLAGS = {"true": 1.0, "false": 0.0}
EXACT = 2**53
"""Largest whole number up to which float64 is exact."""

_EXPONENT = r"([eE][-+]?[0-9]+)?$"
NUMBER = {
    ".": r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)" + _EXPONENT,
    ",": r"^[-+]?([0-9]+,?[0-9]*|,[0-9]+)" + _EXPONENT,
}
"""Decimal sign -> pattern of a number with it."""
INFINITE = r"(?i)^[-+]?inf(inity)?$"
GROUPED = {".": r"^[-+]?[1-9][0-9]{0,2}\.[0-9]{3}$", ",": r"^[-+]?[1-9][0-9]{0,2},[0-9]{3}$"}
"""Sign -> pattern of a number in which it may be a decimal sign or a thousands separator."""
THOUSANDS = {
    ".": r"^[-+]?[0-9]{1,3}((,[0-9]{3})+\.[0-9]*|(,[0-9]{3}){2,})$",
    ",": r"^[-+]?[0-9]{1,3}((\.[0-9]{3})+,[0-9]*|(\.[0-9]{3}){2,})$",
}
"""Decimal sign -> pattern of a number with the other sign as thousands separator."""
ANY_NUMBER = r"^[-+]?[.,]?[0-9](['’_ \x{A0}\x{2009}\x{202F}]?[0-9.,]+)*" + _EXPONENT
"""Pattern of digits with any of the usual separators."""
DATE = r"^([0-9]{4}[-/][0-9]{1,2}([-/][0-9]{1,2})?|[0-9]{4}\.[0-9]{1,2}\.[0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.]([0-9]{2}|[0-9]{4}))([T ].*)?$"
TIME = r"^[0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?( ?[aApP][mM])?$"
LONG_WHOLE = r"^[-+]?0*[1-9][0-9]{15,}$"
LONG = r"^[-+]?[0.,]*[1-9]([.,]?[0-9]){17,}"
DATES_REMEDY = (
    "write dates and times as the numbers that the teacher takes, leave the column out with --target, or order the rows of "
    "windows by it with --time"
)


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        values: ``(N,)`` float64: numbers, or indices into ``words``; NaN is a missing value.
        words: the words of the column, sorted; None for a column of numbers.
    """

    values: np.ndarray
    words: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Cells:
    """The cells of a column, stripped.

    Args:
        text: text of every cell; null is a missing value.
        place: name of the column, for messages.
    """

    text: pa.ChunkedArray
    place: str

    @classmethod
    def of(cls, text: pa.ChunkedArray, place: str) -> Cells:
        """Strip the cells and mark missing values."""
        import pyarrow as pa

        pc = functions()

        text = pc.utf8_trim_whitespace(text)
        missing = pc.is_in(text, value_set=pa.array(MISSING))
        return cls(pc.if_else(missing, pa.scalar(None, pa.string()), text), place)

    @property
    def held(self) -> int:
        """Number of cells that are not missing."""
        return len(self.text) - self.text.null_count

    def holds(self, sign: str) -> bool:
        """Whether any cell contains a sign."""
        pc = functions()

        return bool(pc.any(pc.match_substring(self.text, sign)).as_py())

    def alike(self, *patterns: str) -> int:
        """Number of cells that match any of the patterns."""
        pc = functions()

        found = pc.match_substring_regex(self.text, "|".join(f"({pattern})" for pattern in patterns))
        return pc.sum(found).as_py() or 0


def decimal_of(table: Sequence[Cells], separator: str) -> str:
    """Detect the decimal sign of a table from all its columns of numbers.

    Raises:
        FeaturesError: columns disagree, or every number is ambiguous.
    """
    seen: dict[str, str] = {}
    doubt = ""
    for cells in table:
        signs = [sign for sign in NUMBER if sign not in seen and cells.holds(sign)]
        if not signs or cells.alike(ANY_NUMBER, INFINITE) < cells.held:
            continue
        for sign in signs:
            written = cells.alike(NUMBER[sign]) - cells.alike(r"^[-+]?[0-9]+" + _EXPONENT)
            either = cells.alike(GROUPED[sign])
            if written > either or cells.alike(THOUSANDS[sign]):
                seen.setdefault(sign, cells.place)
            elif either:
                doubt = doubt or cells.place
    if len(seen) == 2:
        raise FeaturesError(
            seen[","],
            f"numbers have a decimal comma, and those of {seen['.'].rpartition(': ')[2]} a decimal point",
            remedy="write them alike, or say which it is with --decimal",
        )
    if separator == ONE and "," in seen:
        raise FeaturesError(
            seen[","],
            "a comma may part two columns here, or be a decimal sign",
            remedy="say which with --separator , or --decimal ,",
        )
    # With comma as separator, points cannot be thousands separators, because fractions could not be written.
    if doubt and not seen and not (separator == "," and all(not cells.alike(GROUPED[","]) for cells in table)):
        raise FeaturesError(
            doubt,
            "its numbers have three digits behind a sign that may be a decimal sign or part thousands",
            remedy="say which sign is decimal with --decimal . or --decimal ,",
        )
    return next(iter(seen), ".")


def column_of(cells: Cells, decimal: str, at_least: int) -> Column:
    """Convert the cells of a column.

    Args:
        cells: cells of the column.
        decimal: the decimal sign.
        at_least: smallest number of rows that must share a cell before a message may show it.

    Raises:
        FeaturesError: the column holds neither numbers nor flags nor words, or numbers that float64 cannot hold.
    """
    import numpy as np

    if not cells.held:
        return Column(np.full(len(cells.text), np.nan))
    numbers = cells.alike(NUMBER[decimal], INFINITE)
    if numbers == cells.held:
        return Column(_numbers(cells, decimal))
    if cells.alike(*(f"(?i)^{flag}$" for flag in FLAGS)) == cells.held:
        return Column(_flags(cells.text))
    if cells.alike(DATE, TIME) == cells.held:
        raise FeaturesError(cells.place, "holds dates or times, which are not numbers", remedy=DATES_REMEDY)
    written = cells.alike(ANY_NUMBER, INFINITE)
    if written == cells.held:
        raise FeaturesError(
            cells.place,
            f"{cells.held - numbers:,} of {cells.held:,} numbers are not written with the decimal sign {decimal!r} alone: "
            "they have thousands separators, or the decimal sign is another",
            remedy="write numbers without thousands separators, or say which sign is decimal with --decimal",
        )
    if written:
        raise _mixed(cells, decimal, at_least)
    return words_of(cells.text, cells.place, at_least)


def words_of(text: pa.ChunkedArray, place: str, at_least: int) -> Column:
    """Convert a column of words; null is a missing value.

    Raises:
        FeaturesError: a rare word spans several lines, which happens after an unclosed quote.
    """
    import numpy as np
    import pyarrow as pa

    pc = functions()
    counts = {each["values"]: each["counts"] for each in pc.value_counts(text).to_pylist()}
    counts.pop(None, None)
    if lost := sum(count for word, count in counts.items() if "\n" in word and count < at_least):
        raise FeaturesError(
            place, f"{lost:,} cells run over several lines", remedy="see whether a quote is opened and never closed"
        )
    words = sorted(counts)
    places = pc.cast(pc.index_in(text, value_set=pa.array(words, text.type)), pa.float64())
    return Column(np.asarray(pc.fill_null(places, np.nan), dtype=np.float64), tuple(words))


def exact(numbers: Sequence[Decimal], place: str) -> None:
    """Check that float64 can distinguish numbers.

    Raises:
        FeaturesError: float64 rounds a whole number, or two numbers become equal.
    """
    remedy = "subtract an offset as for the teacher, or leave the column out with --target"
    held = {number: float(number) for number in numbers if math.isfinite(float(number))}
    if any(number == number.to_integral_value() and Decimal(value) != number for number, value in held.items()):
        raise FeaturesError(place, f"holds whole numbers beyond {EXACT:,}, which float64 rounds", remedy=remedy)
    if len({*held.values()}) < len(held):
        raise FeaturesError(place, "holds numbers with more digits than float64 distinguishes", remedy=remedy)


def _numbers(cells: Cells, decimal: str) -> np.ndarray:
    import numpy as np
    import pyarrow as pa

    pc = functions()
    text = cells.text if decimal == "." else pc.replace_substring(cells.text, decimal, ".")
    wide = text.filter(pc.greater_equal(pc.utf8_length(text), 16))
    for pattern in (LONG_WHOLE, LONG):
        long = pc.unique(wide.filter(pc.match_substring_regex(wide, pattern)))
        exact([Decimal(number) for number in long.to_pylist()], cells.place)
    values = pc.cast(text, pa.float64())
    return np.asarray(pc.fill_null(values, np.nan), dtype=np.float64)


def _flags(text: pa.ChunkedArray) -> np.ndarray:
    import numpy as np
    import pyarrow as pa

    pc = functions()
    place = pc.index_in(pc.utf8_lower(text), value_set=pa.array(FLAGS))
    values = np.asarray([*FLAGS.values(), np.nan])
    return values[np.asarray(pc.fill_null(place, len(FLAGS)), dtype=int)]


def _mixed(cells: Cells, decimal: str, at_least: int) -> FeaturesError:
    """The error for a column that mixes numbers and words."""
    pc = functions()
    odd = pc.invert(pc.match_substring_regex(cells.text, f"({ANY_NUMBER})|({INFINITE})"))
    rows = pc.indices_nonzero(pc.fill_null(odd, False))
    counts = pc.value_counts(cells.text.filter(odd)).to_pylist()
    shared = [f"{each['values'][:20]!r} in {each['counts']:,}" for each in counts if each["counts"] >= at_least][:3]
    told = f" ({', '.join(shared)})" if shared else ""
    return FeaturesError(
        cells.place,
        f"must hold numbers, and {len(rows):,} of {cells.held:,} cells are none{told}; the first is in row "
        f"{rows[0].as_py() + 1:,} below the names",
        remedy="write an empty cell where a value is missing, or leave the column out with --target",
    )
