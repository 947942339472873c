"""Teacher's assistants: larger students that label further rows for a student, in place of the teacher (Mirzadeh et al. 2020)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dfkd_tune.recipes.base import Assistant
from dfkd_tune.students.base import WIDEST, Student
from dfkd_tune.utils.plugins import Registry
from dfkd_tune.utils.strategy import strategy


@strategy
class NoAssistant(Assistant):
    """The student trains on the teacher's outputs alone, as in both papers."""


@strategy
class Wider(Assistant):
    """The mean of wider students, which train before the student: on its own prior rows, for as many steps, by the same optimizer.

    Args:
        times: their width relative to the student's, at most 100,000 units; an architecture without a width keeps its size.
        members: number of them.
        rows: number of new prior rows that their mean labels.
        share: share of the prior rows of a batch that are replaced by these, at least one row.
    """

    times: Annotated[int, Field(ge=1, le=64)] = 2
    members: Annotated[int, Field(ge=1, le=32)] = 2
    rows: Annotated[int, Field(ge=100, le=10**7)] = 20_000
    share: Annotated[float, Field(gt=0, le=1)] = 0.5

    @property
    def labeled_rows(self) -> int:
        return self.rows

    @property
    def batch_share(self) -> float:
        return self.share

    def students(self, student: Student) -> list[Student]:
        return [student.with_width(min(WIDEST, self.times * getattr(student, "width", 1)))] * self.members


ASSISTANTS: Registry[type[Assistant]] = Registry("assistants", Assistant, {"none": NoAssistant, "wider": Wider})
