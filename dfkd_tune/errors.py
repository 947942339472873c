"""What a user can meet, as one tree.

DfkdError                 an expected failure: one line, exit status 1
├── SpecError             a study, recipe or architecture file says something impossible
├── FeaturesError         a features file says something impossible
├── TeacherError          the teacher cannot be loaded, or cannot be distilled
├── StorageError          the study's state cannot be read or written
│   └── StudyMismatch     a study of that name exists with another teacher, space or objective
├── TrackingError         MLflow cannot be reached or written
├── WorkersError          the workers of a study die one after the other
├── MachineError          this machine has no room for it, or not the device that was asked for
├── NotFound              no such study, trial, run or model
├── PluginError           an installed package offers a kind that cannot be used
└── ExportError           a student cannot be written, or its copy does not answer like it
Interrupted               the user stopped a study that can be resumed: exit status 130
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

MOST_CHARACTERS = 1_000
"""Characters of a message's part, beyond which its middle is left out."""


class DfkdError(Exception):
    """An expected failure, told in one line: place, rule, value, remedy.

    ``NEXT`` is the remedy of a kind of failure where whoever raises it knows no better one.
    """

    NEXT: ClassVar[str] = "dfkd-tune --help lists the commands"

    def __init__(self, place: object, rule: str, *, remedy: str | None = None) -> None:
        self.place, self.rule, self.remedy = map(shown, (str(place), rule, remedy or self.NEXT))
        super().__init__(f"{self.place}: {self.rule}; {self.remedy}")

    def __reduce__(self) -> tuple[Callable[..., DfkdError], tuple[type[DfkdError], str, str, str]]:
        return _rebuild, (type(self), self.place, self.rule, self.remedy)


def shown(text: str) -> str:
    """A text as a part of a line, its middle left out where it is long.

    A file may hold what would break a line, move a cursor or be no character at all.
    """
    if len(text) > MOST_CHARACTERS:
        text = f"{text[: MOST_CHARACTERS // 2]} ... {text[-MOST_CHARACTERS // 2 :]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _rebuild(kind: type[DfkdError], place: str, rule: str, remedy: str | None) -> DfkdError:
    return kind(place, rule, remedy=remedy)


class SpecError(DfkdError):
    """A study, recipe or architecture file says something impossible."""

    NEXT = "change it there; dfkd-tune check reads a study file without starting it"


class FeaturesError(DfkdError):
    """A features file says something impossible."""

    NEXT = "change it there; dfkd-tune check reads a features file with its study"


class TeacherError(DfkdError):
    """The teacher cannot be loaded, or cannot be distilled."""

    NEXT = "export or copy it again; dfkd-tune check loads and asks it"


class StorageError(DfkdError):
    """The study's state cannot be read or written."""

    NEXT = "see that it is there and can be written, then run the same command again"


class StudyMismatch(StorageError):
    """A study of that name exists with another teacher, space or objective."""


class TrackingError(DfkdError):
    """MLflow cannot be reached or written."""

    NEXT = "see that MLflow is there and can be written, then run the same command again"


class WorkersError(DfkdError):
    """The workers of a study die one after the other."""

    NEXT = "run the same command again: it goes on where it stopped"


class MachineError(DfkdError):
    """This machine has no room for a study, or not the device that was asked for."""


class NotFound(DfkdError):
    """No such study, trial, run or model."""

    NEXT = "dfkd-tune ui shows what is on record"


class PluginError(DfkdError):
    """An installed package offers a kind that cannot be used."""

    NEXT = "mend or uninstall that package"


class ExportError(DfkdError):
    """A student cannot be written, or its copy does not answer like it."""

    NEXT = "dfkd-tune sync STUDY makes a study's files whole; then run the same command again"


class Interrupted(Exception):
    """The user stopped a study; everything is recorded and it can be resumed."""
