"""Teacher's assistants: students that label further rows for another student, in place of the teacher (Mirzadeh et al. 2020)."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from dfkd_tune.recipes.base import Assistant
from dfkd_tune.students.base import WIDEST, Student
from dfkd_tune.utils.plugins import Registry
from dfkd_tune.utils.strategy import strategy

MOST_MEMBERS = 32
"""Most students whose mean labels rows."""


@strategy
class NoAssistant(Assistant):
    """The student trains on the teacher's outputs alone, as in both papers."""


@strategy
class Labeling(Assistant):
    """The mean of some students labels rows for another.

    Args:
        rows: number of new prior rows that their mean labels.
        share: share of the prior rows of a batch that are replaced by these, at least one row.
    """

    rows: Annotated[int, Field(ge=100, le=10**7)] = 20_000
    share: Annotated[float, Field(gt=0, le=1)] = 0.5

    @property
    def labeled_rows(self) -> int:
        return self.rows

    @property
    def batch_share(self) -> float:
        return self.share


@strategy
class Wider(Labeling):
    """The mean of wider students, which train before the student: on its own prior rows, for as many steps, by the same optimizer.

    Args:
        times: their width relative to the student's, at most 100,000 units; an architecture without a width keeps its size.
        members: number of them.
        rows: number of new prior rows that their mean labels.
        share: share of the prior rows of a batch that are replaced by these, at least one row.
    """

    times: Annotated[int, Field(ge=1, le=64)] = 2
    members: Annotated[int, Field(ge=1, le=MOST_MEMBERS)] = 2

    def students(self, student: Student) -> list[Student]:
        return [student.with_width(min(WIDEST, self.times * getattr(student, "width", 1)))] * self.members


@strategy
class Committee(Labeling):
    """The mean of the students of a study's best trials, which have trained anyway. It labels for the re-runs of the leading recipes.

    Trials have no assistant, as there is no committee before they have ended. Only a study with ``budget.total_queries`` has a
    committee: its students have learned the same rows, and none of them a row that is held out of the student that it labels for.

    Args:
        members: most students; a re-run records how many there were.
        rows: number of new prior rows that their mean labels.
        share: share of the prior rows of a batch that are replaced by these, at least one row.
        most_answered: most answered rows that students share where it labels. It lowers the error on real rows where they are few, and
            raises it where they are many (``benchmarks/queries.py``).
    """

    members: Annotated[int, Field(ge=1, le=MOST_MEMBERS)] = 8
    share: Annotated[float, Field(gt=0, le=1)] = 0.25
    most_answered: Annotated[int, Field(ge=1)] = 7_000

    @property
    def committee(self) -> int:
        return self.members

    @property
    def of_trials(self) -> Assistant:
        return NoAssistant()

    def of_reruns(self, finished: int, answered: int) -> Assistant:
        if not finished or answered > self.most_answered:
            return NoAssistant()
        return replace(self, members=min(self.members, finished))


ASSISTANTS: Registry[type[Assistant]] = Registry(
    "assistants", Assistant, {"none": NoAssistant, "wider": Wider, "committee": Committee}
)
