"""What a user can meet, as one tree.

DfkdError                 an expected failure: one line, exit status 1
├── SpecError             a study, recipe or architecture file says something impossible
├── FeaturesError         a features file says something impossible
├── TeacherError          the teacher cannot be loaded, or cannot be distilled
├── StorageError          the study's state cannot be read or written
│   └── StudyMismatch     a study of that name exists with another teacher, space or objective
├── TrackingError         MLflow cannot be reached or written
├── WorkersError          the workers of a study die one after the other
├── NotFound              no such study, trial, run or model
└── ExportError           a student cannot be written, or its copy does not answer like it
Interrupted               the user stopped a study that can be resumed: exit status 130
"""


class DfkdError(Exception):
    """An expected failure, told in one line: place, rule, value, remedy."""

    def __init__(self, place: object, rule: str, *, remedy: str | None = None):
        self.place, self.rule, self.remedy = _one_line(str(place)), _one_line(rule), remedy and _one_line(remedy)
        super().__init__(f"{self.place}: {rule}" + (f"; {remedy}" if remedy else ""))

    def __reduce__(self):
        return _rebuild, (type(self), self.place, self.rule, self.remedy)


def _one_line(text: str) -> str:
    """A file may hold what would break a line, move a cursor or be no character at all."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _rebuild(kind: type, place: str, rule: str, remedy: str | None) -> DfkdError:
    return kind(place, rule, remedy=remedy)


class SpecError(DfkdError):
    """A study, recipe or architecture file says something impossible."""


class FeaturesError(DfkdError):
    """A features file says something impossible."""


class TeacherError(DfkdError):
    """The teacher cannot be loaded, or cannot be distilled."""


class StorageError(DfkdError):
    """The study's state cannot be read or written."""


class StudyMismatch(StorageError):
    """A study of that name exists with another teacher, space or objective."""


class TrackingError(DfkdError):
    """MLflow cannot be reached or written."""


class WorkersError(DfkdError):
    """The workers of a study die one after the other."""


class NotFound(DfkdError):
    """No such study, trial, run or model."""


class ExportError(DfkdError):
    """A student cannot be written, or its copy does not answer like it."""


class Interrupted(Exception):
    """The user stopped a study; everything is recorded and it can be resumed."""
