"""A broken law is named; the laws after it are not checked."""

import pytest

from dfkd_tune.testing.laws import check_laws


def test_the_first_broken_law_is_the_note_of_the_error():
    checked = []

    def is_even(number):
        """A number is even."""
        checked.append("even")
        assert number % 2 == 0

    def is_positive(number):
        """A number is positive."""
        checked.append("positive")
        assert number > 0

    check_laws([is_even, is_positive], 2)
    with pytest.raises(AssertionError) as found:
        check_laws([is_even, is_positive, is_even], -2)
    assert checked == ["even", "positive"] * 2
    assert found.value.__notes__ == ["Broken law is_positive: A number is positive."]
