"""Rows are claimed before they are asked, and an answered row is not asked again."""

import pytest
import torch

from dfkd_tune.errors import QueriesSpent, TeacherError
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.black_box import OfEither
from dfkd_tune.teachers.metering.answered_rows import AnsweredRows
from dfkd_tune.teachers.metering.meter import Meter, metered
from dfkd_tune.teachers.probe import probe


class QueryBudget:
    """A budget that holds so many rows, and a teacher's function that must not be asked more than was claimed."""

    def __init__(self, rows: int):
        self.left, self.parts, self.asked, self.fails = rows, {}, 0, 0

    def claim(self, part: str, rows: int) -> int:
        if rows > self.left:
            raise QueriesSpent("here", "none left")
        self.left -= rows
        before = self.parts.get(part, 0)
        self.parts[part] = before + rows
        return before

    def answer(self, x):
        self.asked += len(x)
        assert self.asked <= sum(self.parts.values())  # the claim comes first
        if self.fails:
            self.fails -= 1
            raise ConnectionError("away")
        return x.sum(1) + x[:, 0] * x[:, 1]


def make(rows: int, folder=None) -> tuple[QueryBudget, Teacher]:
    budget = QueryBudget(rows)
    with metered(Meter(budget, AnsweredRows(folder) if folder else None)):
        return budget, Teacher("priced", budget.answer, torch.float64, "sha")


ROWS = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_an_answered_row_is_free_in_any_process(tmp_path):
    budget, teacher = make(10, tmp_path)
    with teacher.guard.meter.counted_as("prior"):
        first = teacher(ROWS[:4])
        assert torch.equal(
            teacher(ROWS), torch.cat([first, ROWS[4:].sum(1, keepdim=True) + ROWS[4:, :1] * ROWS[4:, 1:2]])
        )
    assert budget.parts == {"prior": 6} and budget.asked == 6

    other, again = make(0, tmp_path)
    again.guard.meter.rows.refresh()
    assert torch.equal(again(ROWS[:4]), first) and not other.asked
    x, y = again.guard.meter.rows.part("prior")
    assert torch.equal(x, ROWS) and len(y) == 6


def test_rows_beyond_the_total_are_refused_before_they_are_asked(tmp_path):
    budget, teacher = make(5, tmp_path)
    with pytest.raises(QueriesSpent):
        teacher(ROWS)
    assert not budget.asked and not list(tmp_path.iterdir())
    assert len(teacher(ROWS[:5])) == 5


def test_a_repeated_call_counts_again():
    budget, teacher = make(12)
    budget.fails = 1
    teacher(ROWS)
    assert budget.asked == 12 and not budget.left

    budget, teacher = make(6)
    budget.fails = 1
    with pytest.raises(QueriesSpent):
        teacher(ROWS)
    assert budget.asked == 6


def test_what_a_function_takes_is_found_with_one_row_that_counts():
    budget = QueryBudget(12)

    def arrays_alone(x):
        budget.asked += len(x)
        return x.astype("float64").sum(1)

    with metered(Meter(budget)):
        teacher = Teacher("priced", OfEither(arrays_alone), torch.float64, "sha")
    teacher(ROWS)
    assert budget.parts == {"opening": 7} and budget.asked <= 7


def test_a_probe_is_counted_and_finds_noise_in_spite_of_kept_answers(tmp_path):
    budget, teacher = make(50, tmp_path)
    found = probe(teacher, Inputs.unknown(3), rows=16)
    assert not found.differentiable and found.noise == 0
    assert budget.asked == sum(budget.parts.values()) == 2 + 1 + 7 + 2 * 16

    noise = torch.Generator().manual_seed(1)
    budget, teacher = make(100, tmp_path)
    shaky = Teacher(
        "shaky",
        lambda x: budget.answer(x) + torch.randn(len(x), generator=noise),
        torch.float64,
        "s",
        guard=teacher.guard,
    )
    with pytest.raises(TeacherError, match="deterministic"):
        probe(shaky, Inputs.unknown(3), rows=16)


def test_whole_numbers_are_kept_as_any_answer(tmp_path):
    budget = QueryBudget(6)
    with metered(Meter(budget, AnsweredRows(tmp_path))):
        teacher = Teacher("priced", lambda x: x.sum(1).round().long(), torch.float64, "sha")
    for _ in range(2):
        assert torch.equal(teacher(ROWS), ROWS.sum(1, keepdim=True).round())
    assert sum(budget.parts.values()) == 6


def test_equal_rows_of_a_call_are_asked_once(tmp_path):
    budget, teacher = make(3, tmp_path)
    twice = torch.cat([ROWS[:3], ROWS[1:2], ROWS[:1]])
    torch.testing.assert_close(teacher(twice), (twice.sum(1) + twice[:, 0] * twice[:, 1])[:, None])
    assert budget.asked == 3
    with teacher.guard.meter.asking_again(), pytest.raises(QueriesSpent):
        teacher(twice)


def test_a_budget_is_opened_when_the_first_row_is_asked(tmp_path):
    opened = []

    def opening(meter):
        opened.append(meter)
        meter.budget, meter.rows = QueryBudget(6), AnsweredRows(tmp_path)

    meter = Meter(opening=opening)
    with metered(meter):
        teacher = Teacher("priced", lambda x: x.sum(1), torch.float64, "sha")
    assert not opened
    teacher(ROWS[:4])
    teacher(ROWS)
    assert opened == [meter] and meter.asked == 6 and not meter.budget.left


def test_the_rows_that_a_part_needs_are_counted_once_whoever_asked_them(tmp_path):
    budget, teacher = make(10, tmp_path)
    meter = teacher.guard.meter
    with meter.counted_as("prior"):
        teacher(ROWS[:1])
    with meter.counted_as("certificate") as first:
        teacher(ROWS[:4])
        with meter.counted_as("certificate") as within:
            teacher(ROWS[2:5])
        assert len(within) == 3
        teacher(ROWS[3:4])
    assert len(first) == 4 and budget.parts == {"prior": 1, "certificate": 4}

    _, again = make(0, tmp_path)  # of a process that goes on after one that died
    again.guard.meter.rows.refresh()
    with again.guard.meter.counted_as("certificate") as second:
        again(ROWS[:5])
    assert second == first


def test_rows_are_asked_again_without_another_answer_being_kept(tmp_path):
    budget, teacher = make(10, tmp_path)
    kept, meter = teacher(ROWS[:2]), teacher.guard.meter
    other = Teacher("priced", lambda x: budget.answer(x) + 1, torch.float64, "sha", guard=teacher.guard)
    with meter.counted_as("again"), meter.asking_again(keeping=False):
        assert torch.equal(other(ROWS[:2]), kept + 1)
    assert budget.parts == {"opening": 2, "again": 2} and meter.rows.count("again") == 0
    assert torch.equal(other(ROWS[:2]), kept)
