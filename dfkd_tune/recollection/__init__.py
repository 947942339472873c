"""What a teacher tells of the inputs that it was trained on, beyond what is declared of them.

A teacher that normalizes carries moments of its hidden units (``normalization``), one of trees how many rows went either way at every split
(``trees``), a pipeline what its scaler measured (``scalers``): aggregates over all of its training rows, and no row. They stand in where
nobody declared the shape of a feature.
"""

from __future__ import annotations

from pathlib import Path

from ..features_file import read_features
from ..inputs import Inputs
from ..teachers import Teacher
from ..teachers.probe import infer_width
from . import normalization, scalers, trees

SOURCES = (normalization.recollect, trees.recollect, scalers.recollect)


def inputs_of(teacher: Teacher, features: Path | None) -> Inputs:
    """What is known of a teacher's inputs: what a features file declares, and what the teacher recollects where no shape is declared.

    Raises:
        FeaturesError: naming the feature and the rule that it breaks.
        TeacherError: when there is no file and the teacher's width cannot be found.
    """
    inputs = read_features(features) if features else Inputs.unknown(infer_width(teacher))
    teacher.guard.names = inputs.names
    if not inputs.open_ended.all() or inputs.rank_correlation is not None:
        return inputs
    found = (recollect(teacher, inputs) for recollect in SOURCES)
    return next((each for each in found if each is not None), inputs)
