"""A table, files that hold it, and what is read from a file."""

import numpy as np
import pandas as pd
import pytest

from dfkd_tune.errors import FeaturesError
from dfkd_tune.tables.delimited import Layout
from dfkd_tune.tables.describe import describe
from dfkd_tune.tables.read import Reading, Table, read_table

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


def described(path, at_least=10, **options) -> list[dict]:
    return describe(told(path, at_least=at_least, **options), "quantiles", at_least).features


GAPS = "a,b,c\n" + "1,red,0\n2.5,,1\n,blue,\n4,red,1\n" * 25 + "5,NA,0\n"
