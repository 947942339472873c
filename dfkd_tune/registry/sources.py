"""Current paths of the files of a recorded study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dfkd_tune.errors import FeaturesError, TeacherError
from dfkd_tune.teachers.sources import is_file, require_file

if TYPE_CHECKING:
    from dfkd_tune.teachers.base import Teacher


@dataclass(frozen=True)
class Sources:
    """Current paths of teacher and features, if they differ from the recorded ones.

    Args:
        teacher, architecture, features: paths; None for the recorded path.
        trust_pickle: whether to load a pickled teacher, which can run any code.
        held: the teacher itself, if this process holds it and no file does.
    """

    teacher: str | None = None
    architecture: str | None = None
    features: str | None = None
    trust_pickle: bool = False
    held: Teacher | None = None

    def require(self) -> None:
        """Check, before PyTorch is imported, that the given files are there.

        Raises:
            TeacherError, FeaturesError: one is not.
        """
        if self.teacher is not None and is_file(self.teacher):
            require_file(Path(self.teacher))
        for path, error in ((self.architecture, TeacherError), (self.features, FeaturesError)):
            if path is not None and not Path(path).exists():
                raise error(path, "no such file", remedy="give a file that is there")
