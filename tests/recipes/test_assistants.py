"""A teacher's assistants are larger students of the same kind, or a committee of students that have trained anyway."""

import pytest

from dfkd_tune.recipes.assistants import ASSISTANTS, Committee, NoAssistant, Wider
from dfkd_tune.students.base import WIDEST
from dfkd_tune.students.kinds import STUDENTS
from dfkd_tune.students.mlp import MLP


@pytest.mark.parametrize("kind", STUDENTS)
def test_an_assistant_is_so_many_times_as_wide(kind):
    student = STUDENTS[kind]()
    students = Wider(times=3, members=2).students(student)
    assert len(students) == 2 and students[0] == students[1]
    assert students[0] == (student.with_width(3 * student.width) if student.has_width else student)


def test_nobody_labels_unless_a_recipe_says_so():
    nobody = NoAssistant()
    assert nobody.students(STUDENTS["mlp"]()) == [] and nobody.labeled_rows == nobody.batch_share == 0
    assert all((ASSISTANTS[kind]().labeled_rows > 0) == bool(ASSISTANTS[kind]().batch_share) for kind in ASSISTANTS)


def test_a_committee_trains_nobody():
    made = Committee(members=3, rows=500, share=0.4)
    assert made.students(STUDENTS["mlp"]()) == []
    assert (made.committee, made.labeled_rows, made.batch_share) == (3, 500, 0.4)
    assert NoAssistant().committee == Wider().committee == 0


def test_an_assistant_is_not_wider_than_any_student_may_be():
    (wide,) = Wider(times=64, members=1).students(MLP(width=2_000))
    assert wide.width == WIDEST
