"""Read Parquet and Feather files: columns of Arrow types, and the index that pandas stored."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from dfkd_tune.errors import FeaturesError
from dfkd_tune.tables.arrow import functions
from dfkd_tune.tables.cells import DATE, DATES_REMEDY, EXACT, TIME, Cells, Column, exact, words_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

DIGITS = 15
"""Number of decimal digits that float64 always preserves."""
CELL = 32
"""Memory that reading a cell takes, in bytes."""


def read_arrow(path: Path, kind: str, room: int) -> pa.Table:
    """Read a ``parquet`` or ``feather`` file; a named range index of pandas becomes a column.

    Raises:
        FeaturesError: the file has another format, or needs more than ``room`` bytes.
    """
    import numpy as np
    import pyarrow as pa

    try:
        table = READERS[kind](path, room)
    except FeaturesError:
        raise
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or next(iter(str(error).splitlines()), type(error).__name__)
        raise FeaturesError(
            path, f"cannot be read as {kind}: {reason}", remedy="export it again, or give --format"
        ) from None
    for level in (table.schema.pandas_metadata or {}).get("index_columns", []):
        if isinstance(level, dict) and level.get("name") is not None:
            rows = np.arange(level["start"], level["stop"], level["step"])
            if len(rows) == len(table):
                table = table.append_column(str(level["name"]), pa.array(rows))
    return table


def index_of(table: pa.Table) -> list[str]:
    """Names of the columns that pandas stored as an index."""
    levels = (table.schema.pandas_metadata or {}).get("index_columns", [])
    names = [level.get("name") if isinstance(level, dict) else level for level in levels]
    return [str(name) for name in names if name is not None]


def column_from(column: pa.ChunkedArray, place: str, at_least: int) -> Column:
    """Convert an Arrow column.

    Args:
        column: Arrow column of any type.
        place: name of the column, for messages.
        at_least: smallest number of rows that must share a cell before a message may show it.

    Raises:
        FeaturesError: the column holds neither numbers nor flags nor words, or numbers that float64 cannot hold.
    """
    import numpy as np
    import pyarrow as pa

    pc = functions()
    kind = column.type
    if pa.types.is_dictionary(kind):
        return column_from(pc.cast(column, kind.value_type), place, at_least)
    if pa.types.is_temporal(kind):
        raise FeaturesError(place, f"holds dates or times ({kind}), which are not numbers", remedy=DATES_REMEDY)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _words(pc.cast(column, pa.large_string()), place, at_least)
    if pa.types.is_null(kind):
        return Column(np.full(len(column), np.nan))
    if pa.types.is_decimal(kind):
        if kind.precision > DIGITS:
            _exact(column, place)
    elif kind in (pa.int64(), pa.uint64()):
        beyond = pc.greater(column, pa.scalar(EXACT, kind))
        if kind == pa.int64():
            beyond = pc.or_(beyond, pc.less(column, pa.scalar(-EXACT, kind)))
        _exact(column.filter(beyond), place)
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise FeaturesError(
            place, f"must hold numbers or words, got {kind}", remedy="write it as columns of numbers, or leave it out"
        )
    return Column(_floats(column))


def _words(column: pa.ChunkedArray, place: str, at_least: int) -> Column:
    cells = Cells(column, place)
    if cells.held and cells.alike(DATE, TIME) == cells.held:
        raise FeaturesError(place, "holds dates or times, which are not numbers", remedy=DATES_REMEDY)
    return words_of(column, place, at_least)


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    import numpy as np
    import pyarrow as pa

    pc = functions()
    values = pc.cast(column, pa.float64(), safe=False)  # column_from has checked that whole numbers are exact
    return np.asarray(pc.fill_null(values, np.nan), dtype=np.float64)


def _exact(column: pa.ChunkedArray, place: str) -> None:

    pc = functions()
    exact([Decimal(number) for number in pc.unique(pc.drop_null(column)).to_pylist()], place)


def _parquet(path: Path, room: int) -> pa.Table:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        _refuse_giants(path, file.metadata.num_rows * file.metadata.num_columns, room)
        return file.read()


def _feather(path: Path, room: int) -> pa.Table:
    import pyarrow as pa
    from pyarrow import feather

    with pa.memory_map(str(path)) as source:
        head = source.read(6)
    if head == b"ARROW1":
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as file:
            rows = sum(file.get_batch(i).num_rows for i in range(file.num_record_batches))
            _refuse_giants(path, rows * len(file.schema), room)
    return feather.read_table(path, memory_map=False)


def _refuse_giants(path: Path, cells: int, room: int) -> None:
    if cells * CELL > room:
        raise FeaturesError(
            path,
            f"holds {cells:,} cells, and this machine has room for {room // CELL:,}",
            remedy="describe a sample of its rows",
        )


READERS: dict[str, Callable[[Path, int], pa.Table]] = {"parquet": _parquet, "feather": _feather}
