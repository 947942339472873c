"""Tables with columns of any numeric kind, asked of a registered model."""

from decimal import Decimal

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from mlflow.models import Model
from served_models import NAMES, PLAIN, ROWS, answers_of, network, refuses

from dfkd_tune.registry import model_files

NUMBERS = {
    "float64": "float64",
    "float32": "float32",
    "int64": "int64",
    "int32": "int32",
    "uint16": "uint16",
    "Int64": "Int64",
    "UInt16": "UInt16",
    "Float64": "Float64",
    "Float32": "Float32",
    "object": object,
    "arrow": pd.ArrowDtype(pa.int64()),
    "arrow decimal": pd.ArrowDtype(pa.decimal128(24, 2)),
    "category": "category",
    "sparse": pd.SparseDtype(np.float64),
}


@pytest.mark.parametrize("kind", NUMBERS.values(), ids=NUMBERS)
def test_columns_of_any_kind_of_number(named, kind):
    frame = pd.DataFrame(ROWS.astype(int), columns=NAMES, index=[7, 5, 9]).astype(kind)
    answers = named.predict(frame)
    np.testing.assert_allclose(answers, answers_of(ROWS), rtol=1e-6)
    assert answers.index.tolist() == [7, 5, 9]
    one = frame.astype({"valve": bool})[NAMES[::-1]].assign(id=["a", "b", "c"])
    np.testing.assert_allclose(named.predict(one.iloc[1:]), answers_of(ROWS[1:]), rtol=1e-6)


def test_columns_of_python_numbers(named):
    for kind in (int, float, Decimal, np.float32, np.int8, bool):
        rows = ROWS.clip(0, 1)
        frame = pd.DataFrame({n: [kind(v) for v in rows[:, i]] for i, n in enumerate(NAMES)}, dtype=object)
        np.testing.assert_allclose(named.predict(frame), answers_of(rows), rtol=1e-6)
    for kind in (bool, "boolean"):
        np.testing.assert_allclose(named.predict(pd.DataFrame(rows, columns=NAMES).astype(kind)), answers_of(rows))


def test_tables_of_other_shapes_and_libraries(named):
    frame = pd.DataFrame(ROWS, columns=NAMES)
    for given in (frame.to_dict("list"), frame.to_dict("records"), pa.Table.from_pandas(frame)):
        np.testing.assert_allclose(named.predict(given), answers_of(ROWS), rtol=1e-6)
    np.testing.assert_allclose(named.predict(frame.to_dict("records")[0]), answers_of(ROWS[:1]), rtol=1e-6)
    assert named.predict(frame[:0]).shape == (0, 2)
    spaced = frame.rename(columns={"valve": " valve "})
    np.testing.assert_allclose(named.predict(spaced), answers_of(ROWS), rtol=1e-6)


def test_a_column_is_found_by_its_exact_name_first(models):
    model_files.save(models / "years", network(), PLAIN | {"features": ["2019", "2020", "2019 "]}, Model())
    model = mlflow.pyfunc.load_model(str(models / "years"))
    for labels in ([2019, 2020, "2019 "], ["2019", 2020, "2019 "]):
        frame = pd.DataFrame(ROWS, columns=labels)
        np.testing.assert_allclose(model.predict(frame[labels[::-1]]), answers_of(ROWS), rtol=1e-6)


def test_what_cannot_be_answered_is_told_by_column(named):
    frame = pd.DataFrame(ROWS, columns=NAMES)
    refuses(named, frame.drop(columns=["valve", "load"]), "columns 'load', 'valve': missing", "got 'count'")
    refuses(named, frame.assign(load=["1", "2", "3"]), "column 'load': holds text, '1'; give numbers")
    refuses(named, frame.assign(load=pd.Categorical(["1", "2", "3"])), "column 'load': holds text")
    refuses(named, frame.assign(count=pd.array([1, None, None], dtype="Int64")), "'count': 2 values missing", "row 1")
    refuses(named, frame.assign(count=[None, Decimal(1), 2]), "column 'count': 1 value missing", "row 0")
    refuses(named, frame.assign(load=np.nan, valve=np.nan), "columns 'load', 'valve': 6 values missing")
    refuses(named, frame.assign(load=[np.inf, 1, 2]), "column 'load': 1 value infinite")
    refuses(named, frame.assign(load=[1, 1e39, 10**400]), "column 'load': 2 values infinite in float32")
    refuses(named, frame.assign(load=pd.Timestamp("2024-01-01")), "column 'load'", "Timestamp")
    refuses(named, frame.assign(load=pd.Timedelta(1)), "column 'load'", "Timedelta")
    refuses(named, frame.assign(load=1j), "column 'load'", "complex")
    refuses(named, pd.concat([frame, frame[["load"]]], axis=1), "column 'load': is there more than once")
    refuses(named, ROWS, "'load', 'valve', 'count'", "got 0, 1, 2")  # which column is which was not said
    refuses(named, {"load": [1, 2], "valve": [1], "count": [1]}, "is no table")
    refuses(named, 5, "is no table")


def test_features_without_names_take_arrays_and_tables(plain):
    frame = pd.DataFrame(ROWS, columns=["x0", "x1", "x2"])
    for given in (
        ROWS,
        ROWS.astype(int),
        ROWS.astype(np.float32),
        ROWS.tolist(),
        torch.from_numpy(ROWS),
        pd.DataFrame(ROWS),
        pd.DataFrame(ROWS.astype(int), columns=["a", "b", "c"]),
        frame[["x2", "x0", "x1"]].assign(id=1),
    ):
        answers = plain.predict(given)
        assert isinstance(answers, pd.DataFrame if isinstance(given, pd.DataFrame) else np.ndarray)
        np.testing.assert_allclose(answers, answers_of(ROWS), rtol=1e-6)
    np.testing.assert_allclose(plain.predict(ROWS > 0), answers_of((ROWS > 0).astype(float)), rtol=1e-6)
    refuses(plain, ROWS[:, :2], "2 columns", "takes 3")
    refuses(plain, np.hstack([ROWS, ROWS]), "6 columns", "takes 3")
    refuses(plain, frame.rename(columns={"x1": "y"}), "column 'x1': missing")
    refuses(plain, ROWS[None], "is no table")
    refuses(plain, ROWS[0], "1 columns")
