"""Durations as people write them."""

import math

import pytest

from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.utils.given.durations import seconds

GOOD = {90: 90, 1.5: 1.5, "90": 90, "90s": 90, " 30m ": 1800, "1.5h": 5400, "2e1s": 20}
BAD = [0, -1, True, None, math.inf, math.nan, "", "s", "soon", "0s", "-2m", "1d", "2 hours", "inf", "nan", [1]]


@pytest.mark.parametrize("given", GOOD)
def test_numbers_are_seconds_and_a_unit_multiplies(given):
    assert seconds(given) == GOOD[given]
    assert parse_spec({"teacher": "t.pt2", "study": {"timeout": given}}, "study.yaml").study.timeout == GOOD[given]


@pytest.mark.parametrize("given", BAD, ids=repr)
def test_what_is_no_duration_is_refused(given):
    with pytest.raises(ValueError, match="90s, 30m or 2h"):
        seconds(given)
