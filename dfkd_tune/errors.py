"""The exceptions that a user can see, as one tree.

DfkdError                 an expected failure: one line, exit status 1
├── SpecError             a study, recipe or architecture file is invalid
├── FeaturesError         a features file is invalid
├── TeacherError          the teacher cannot be loaded or cannot be distilled
├── QueriesSpent          a study's total number of teacher queries is used up
├── StorageError          the Optuna storage of a study cannot be read or written
│   └── StudyMismatch     a study of that name exists with another teacher, search space or objective
├── TrackingError         MLflow cannot be reached or written
├── WorkersError          the workers of a study die repeatedly
├── StudyFailed           a study has ended, and no trial of it completed
├── MachineError          this machine lacks the memory or the device that is needed
├── NotFound              the study, trial, run or model does not exist
├── PluginError           an installed plug-in cannot be used
└── ExportError           a student cannot be written, or the written copy gives other outputs
Interrupted               the user stopped a study that can be resumed: exit status 130
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

MOST_CHARACTERS = 1_000
"""Longest part of a message, in characters; the middle of a longer one is left out."""


class DfkdError(Exception):
    """An expected failure, shown as one line: place, rule and value, remedy.

        try: dt.load_result("pump")
        except dt.DfkdError as error: print(error.place, error.rule, error.remedy)

    ``NEXT`` is the default remedy of the class.
    """

    NEXT: ClassVar[str] = "dfkd-tune --help lists the commands"

    def __init__(self, place: object, rule: str, *, remedy: str | None = None) -> None:
        self.place, self.rule, self.remedy = map(shown, (str(place), rule, remedy or self.NEXT))
        super().__init__(f"{self.place}: {self.rule}; {self.remedy}")

    def __reduce__(self) -> tuple[Callable[..., DfkdError], tuple[type[DfkdError], str, str, str]]:
        return _rebuild, (type(self), self.place, self.rule, self.remedy)


def shown(text: str) -> str:
    """Shorten a text and escape its unprintable characters, so that it fits in one line.

    Text from a file may hold line breaks, terminal control sequences or invalid characters.
    """
    if len(text) > MOST_CHARACTERS:
        text = f"{text[: MOST_CHARACTERS // 2]} ... {text[-MOST_CHARACTERS // 2 :]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _rebuild(kind: type[DfkdError], place: str, rule: str, remedy: str | None) -> DfkdError:
    return kind(place, rule, remedy=remedy)


class SpecError(DfkdError):
    """A study, recipe or architecture file is invalid."""

    NEXT = "correct the file; dfkd-tune check tries a study and its files without starting it"


class FeaturesError(DfkdError):
    """A features file is invalid."""

    NEXT = "correct the file; dfkd-tune check reads a features file with its study"


class TeacherError(DfkdError):
    """The teacher cannot be loaded or cannot be distilled."""

    NEXT = "export or copy it again; dfkd-tune check loads and probes it"


class QueriesSpent(DfkdError):
    """A study's total number of teacher queries is used up."""

    NEXT = "raise budget.total_queries: the study goes on from what is answered"


class StorageError(DfkdError):
    """The Optuna storage of a study cannot be read or written."""

    NEXT = "check that it exists and can be written, then run the same command again"


class StudyMismatch(StorageError):
    """A study of that name exists with another teacher, search space or objective."""


class TrackingError(DfkdError):
    """MLflow cannot be reached or written."""

    NEXT = "check that MLflow can be reached and written, then run the same command again"


class WorkersError(DfkdError):
    """The workers of a study die repeatedly."""

    NEXT = "run the same command again: it continues where it stopped"


class StudyFailed(DfkdError):
    """A study has ended, and no trial of it completed."""

    NEXT = "dfkd-tune show STUDY prints why its trials ended"


class MachineError(DfkdError):
    """This machine lacks the memory or the device that is needed."""


class NotFound(DfkdError):
    """The study, trial, run or model does not exist."""

    NEXT = "dfkd-tune ui shows the recorded runs"


class PluginError(DfkdError):
    """An installed plug-in cannot be used."""

    NEXT = "update or uninstall that package"


class ExportError(DfkdError):
    """A student cannot be written, or the written copy gives other outputs."""

    NEXT = "dfkd-tune sync STUDY repairs a study's files; then run the same command again"


class Interrupted(Exception):
    """The user stopped a study; everything is recorded and it can be resumed."""
