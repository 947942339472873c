"""A total is divided without a row too many, and a larger one adds rounds alone."""

import pytest

from dfkd_tune.study.total.division import AGAIN_ROWS, LEAST, Division, probe_rows
from dfkd_tune.utils.given.totals import LEAST as LEAST_TOTAL


@pytest.mark.parametrize("total", [LEAST_TOTAL, 500, 777, 5_000, 50_000, 1_000_000])
def test_parts_sum_to_the_total(total):
    division = Division.of(total)
    assert sum(division.parts().values()) == total
    assert all(rows > 0 for rows in division.parts().values())
    assert all(division.parts()[name] >= rows for name, rows in LEAST.items())
    assert division.opening >= 2 * probe_rows(total) + 2 + 1 + 7
    assert division.again == AGAIN_ROWS * (len(division.rounds) + 1)
    assert Division.read(division.tree()) == division


@pytest.mark.parametrize("opening", [0, 30, 75, 110, 150])
def test_whatever_the_opening_takes_leaves_the_certificate_its_rows(opening):
    division = Division.of(LEAST_TOTAL, opening)
    assert sum(division.parts().values()) == LEAST_TOTAL and division.opening == opening
    assert (division.report, division.stress, division.certificate) == (LEAST["report"], 80, LEAST["certificate"])
    assert division.again == AGAIN_ROWS * (len(division.rounds) + 1)


@pytest.mark.parametrize("more", [1, 20, 100, 5_000])
def test_a_raise_of_any_size_is_divided(more):
    before = Division.of(LEAST_TOTAL)
    after = before.raised(LEAST_TOTAL + more)
    assert sum(after.parts().values()) == LEAST_TOTAL + more
    assert after.certificate >= before.certificate + min(more // 2 - 2, LEAST["certificate"])


def test_a_larger_total_keeps_what_was_held_out():
    before, after = Division.of(500), Division.of(500).raised(2_000)
    assert sum(after.parts().values()) == after.total == 2_000
    assert (after.report, after.prior, after.stress) == (before.report, before.prior, before.stress)
    assert after.rounds[: len(before.rounds)] == before.rounds and len(after.rounds) > len(before.rounds)


def test_few_different_rows_are_asked_once_each():
    few = Division.of(500, different=36)
    assert sum(few.parts().values()) < 500 and few.parts()["prior"] == few.first == 36 and not few.rounds
    assert few.raised(900).parts() == few.parts() and few.raised(900).total == 900
    assert Division.read(few.tree()) == few
    assert Division.of(500, different=5_000) == Division.of(500)
    many = Division.of(20_000, different=9_000)
    assert many.prior >= 9_000 > few.prior  # or rare rows would outweigh those of the prior
