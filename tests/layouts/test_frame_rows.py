"""Tables as raw rows: columns by name, words as codes, missing values as NaN, and what is refused."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from dfkd_tune.layouts.frame_rows import FrameError, FrameReader, as_frame

READER = FrameReader(["load", "site", "age"], {"site": ["a", "b", None]}, ["age"], named=True)
FRAME = pd.DataFrame({"age": [3, 4], "site": ["b", None], "load": [0.5, 1.5]})


def test_columns_are_matched_by_name_and_words_are_their_places():
    rows = READER.rows(FRAME)
    assert rows[0].tolist() == [0.5, 1.0, 3.0]
    assert rows[1, [0, 2]].tolist() == [1.5, 4.0] and math.isnan(rows[1, 1])


def test_a_tensor_has_the_dtype_of_the_student_and_nothing_infinite():
    assert READER.tensor(FRAME, torch.float32).dtype == torch.float32
    with pytest.raises(FrameError, match="infinite in float32, first in row 1; give finite numbers"):
        READER.tensor(FRAME.assign(load=[0.0, 1e300]), torch.float32)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME.drop(columns="load"), "column 'load': missing; got 'age', 'site'"),
        (FRAME.assign(site="c"), "column 'site': holds 'c', which is no level; known: 'a', 'b', None"),
        (FRAME.assign(load=[1.0, None]), "column 'load': 1 value missing, first in row 1"),
        (FRAME.assign(load="much"), "column 'load': holds text, 'much'; give numbers"),
        (pd.concat([FRAME, FRAME[["load"]]], axis=1), "column 'load': is there more than once; send it once"),
        (FRAME.drop(columns="age").assign(aeg=3), "column 'age': not in the table, which has the unknown 'aeg'"),
    ],
    ids=["absent", "no level", "missing", "text", "twice", "misspelled"],
)
def test_a_table_that_does_not_fit_is_refused(frame, message):
    with pytest.raises(FrameError) as error:
        READER.rows(frame)
    assert str(error.value).startswith(message)
    assert str(error.value) == f"{error.value.place}: {error.value.rule}; {error.value.remedy}"


def test_features_without_names_are_matched_by_position():
    reader = FrameReader(["x0", "x1"], {}, [], named=False)
    assert reader.rows(as_frame([[1, 2]])).tolist() == [[1.0, 2.0]]
    with pytest.raises(FrameError, match="rows: have 3 columns, the model takes 2"):
        reader.rows(as_frame([[1, 2, 3]]))


def test_what_is_no_table_is_refused():
    assert as_frame({"a": 1, "b": [2]}).shape == (1, 2)
    assert as_frame(np.zeros((2, 3))).shape == (2, 3)
    with pytest.raises(FrameError, match="input: is no table"):
        as_frame(np.zeros((2, 3, 4)))
