"""A total is a whole number of rows that can be divided; anything else is told what a total is."""

import pytest

from dfkd_tune.utils.given.totals import LEAST, MOST, total


@pytest.mark.parametrize("value", [LEAST, 5_000, MOST])
def test_a_whole_number_that_can_be_divided_is_a_total(value):
    assert total(str(value)) == total(f"{value:_}") == value


@pytest.mark.parametrize("value", ["abc", "", "4e2", "500.0", "nan"])
def test_what_is_no_whole_number_is_told(value):
    with pytest.raises(ValueError, match="is not a whole number of rows"):
        total(value)


@pytest.mark.parametrize("value", [-1, 0, LEAST - 1, MOST + 1])
def test_a_total_that_is_too_small_or_too_large_is_told_both_ends(value):
    with pytest.raises(ValueError, match=f"is not from {LEAST} to {MOST} rows"):
        total(str(value))
