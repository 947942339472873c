"""Levels, missing values and float64 rows, asked of a registered model."""

import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from served_models import FAR, MIXED, refuses

from dfkd_tune.layouts import frame_rows
from dfkd_tune.registry import model_files, served_drop_in


def asked(model, **columns) -> np.ndarray:
    """Answers to two rows with these columns."""
    frame = {"load": [1, 2], "grade": ["low", "low"], "gate": [1, 1], "rank": [1, 1]} | columns
    return np.asarray(model.predict(pd.DataFrame(frame)))


def test_strings_are_their_place_among_the_levels(mixed):
    for grades in (["high", "low"], np.array(["high", "low"]), pd.Categorical(["high", "low"])):
        assert asked(mixed, grade=grades)[:, 1].tolist() == [1, 0]
    assert asked(mixed, grade=pd.Series(["high", None], dtype="string"))[:, 1].tolist() == [1, -7]
    assert asked(mixed, rank=["other", 2])[:, 3].tolist() == [2, 1]
    assert asked(mixed, rank=["other", "2"])[:, 3].tolist() == [2, 1]
    assert asked(mixed, grade=[1, None])[:, 1].tolist() == [3, -7]  # what pd.read_csv makes of 01
    assert asked(mixed, grade=[True, True])[:, 1].tolist() == [4, 4]  # and of true
    frame = pd.DataFrame({"load": [1], "grade": ["medium"], "gate": [1], "rank": [1]})
    refuses(mixed, frame, "column 'grade': holds 'medium', which is no level; known: 'low', 'high'")
    refuses(mixed, frame.assign(grade=["1"]), "column 'grade'", "'1'")
    refuses(mixed, frame.assign(grade=[["low"]]), "column 'grade'", "known: 'low'")
    refuses(mixed, frame.assign(grade="low", rank=[3]), "column 'rank': holds '3'", "known: 1, 2, 'other'")


def test_levels_that_are_numbers_are_met_exactly(mixed):
    assert asked(mixed, gate=np.array([2.5, 7], np.float32))[:, 2].tolist() == [2.5, 7]
    assert asked(mixed, gate=[7 - 1e-7, 1 + 1e-8])[:, 2].tolist() == [7, 1]
    frame = pd.DataFrame({"load": [1], "grade": ["low"], "gate": [2], "rank": [1]})
    refuses(mixed, frame, "column 'gate': holds '2.0', which is no level; known: 1.0, 2.5, 7.0")
    refuses(mixed, frame.assign(gate=["1"]), "column 'gate': holds text")


FAR_LEVELS = {
    "times": ([0.0, 1.7e9, 1.7e9 + 60], [150, 1.7e9 + 1, 1.7e9 + 29, 1.7e9 + 31, 1.7e9 + 61]),
    "numbers of sites": ([0.0, 1_000_001.0, 1_000_003.0], [1, 2, 1_000_002, 1_000_004]),
    "close together": ([1.0, 1.0000002, 1.0000004], [1.0000001, 1.0000003]),
    "one": ([16_777_217.0], [16_777_218.0]),
    "small": ([0.1, 0.3, 0.7], [0.2, 0.10001, 0.69999]),
}


@pytest.mark.parametrize(("levels", "others"), FAR_LEVELS.values(), ids=FAR_LEVELS)
def test_a_number_beside_a_level_is_no_level_however_large(levels, others):
    known = np.array(levels)
    assert frame_rows.snapped("site", known, known).tolist() == levels
    assert not served_drop_in.strays(known, known).any()
    assert served_drop_in.strays(np.array(others, dtype=np.float64), known).all()
    for other in others:
        with pytest.raises(frame_rows.FrameError, match="which is no level"):
            frame_rows.snapped("site", np.array([other], dtype=np.float64), known)


@pytest.mark.parametrize("levels", [[0.1, 0.3, 0.7], [0.0, 1.7e9 + 50, 1.8e9], [16_777_217.0]], ids=str)
def test_levels_rounded_to_float32_are_met(levels):
    known, rounded = np.array(levels), np.array(levels, np.float32).astype(np.float64)
    assert frame_rows.snapped("site", rounded, known).tolist() == levels
    assert not served_drop_in.strays(rounded, known).any()


@pytest.mark.parametrize("absent", [None, np.nan, pd.NA, pd.NaT, Decimal("NaN")], ids=str)
def test_values_are_missing_where_that_is_declared(mixed, absent):
    assert asked(mixed, grade=["low", absent], gate=[absent, 7])[:, 1:3].tolist() == [[0, -7], [-7, 7]]
    frame = pd.DataFrame({"load": [absent], "grade": ["low"], "rank": [absent]})
    refuses(mixed, frame, "columns 'load', 'rank': 2 values missing")
    whole = mixed.predict(pd.DataFrame({"load": [1], "rank": [1]}))  # a request may leave out what may be missing
    assert np.asarray(whole).tolist() == [[1, -7, -7, 0]]


def test_an_optional_column_that_may_be_misspelled_is_told(mixed):
    refuses(
        mixed,
        pd.DataFrame({"load": [1], "grad": ["low"], "gate": [1], "rank": [1]}),
        "column 'grade'",
        "unknown 'grad'",
    )
    refuses(mixed, pd.DataFrame({"load": [1], "rank": [1], "day": [3]}), "columns 'grade', 'gate'", "unknown 'day'")
    assert asked(mixed, day=[3, 4])[:, 1].tolist() == [0, 0]


def test_a_student_in_double_is_asked_in_double(mixed):
    assert asked(mixed, load=[FAR, Decimal("0.1")])[:, 0].tolist() == [FAR, 0.1]
    answered = mixed.predict({"load": [FAR], "grade": ["low"], "gate": [1], "rank": [2]})
    assert answered.dtypes.tolist() == [np.float64] * 4


def test_the_example_is_one_that_the_model_answers(mixed, models):
    shown = mixed.input_example
    assert shown["grade"].tolist()[0] == "low" and shown["grade"].isna().tolist() == [False, True]
    assert np.asarray(mixed.predict(shown)).tolist() == [[1.5, 0, 1, 2], [2.5, -7, -7, 1]]
    text = (models / "mixed" / "serving_input_example.json").read_text()
    json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))


def test_what_the_registry_compares_is_what_a_user_has():
    rows = np.array([[FAR, 0, 2.5, 2], [2, 4, np.nan, 0]])
    frame = model_files.table(MIXED, rows)
    assert frame["grade"].tolist() == ["low", "true"] and frame["rank"].tolist() == ["other", 1]
    assert frame["gate"].isna().tolist() == [False, True]
