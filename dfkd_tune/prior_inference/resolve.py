"""What a teacher tells of the inputs that it was trained on, beyond what is declared of them.

A teacher that normalizes carries moments of its hidden units (``normalization``), one of trees how many rows went either way at every split
(``trees``), a pipeline what its scaler measured (``scalers``): aggregates over all of its training rows, and no row. They stand in where
nobody declared the shape of a feature.
"""

from __future__ import annotations

from pathlib import Path

import torch

from dfkd_tune.inputs.encoding import require_resolution
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.features_file import read_features
from dfkd_tune.inputs.prior import InferredPrior, Inputs
from dfkd_tune.prior_inference import batch_norm, scalers, trees
from dfkd_tune.prior_inference.level_order import with_order
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.data_frames import asked_by_name, feature_names, levels_of
from dfkd_tune.teachers.formats.dtypes import settled
from dfkd_tune.teachers.probe import infer_width

ENCODED = "levels of features were found from the encoder that the teacher begins with"
SOURCES = (batch_norm.infer, trees.infer, scalers.infer)


def with_inputs(teacher: Teacher, features: Path | None) -> tuple[Teacher, Inputs]:
    """A teacher ready to be asked rows of its inputs, and what is known of them.

    That is what a features file declares and, where no shape is declared, what the teacher recollects. The teacher is asked by
    column name where it was fitted so, in a dtype that it answers in.

    Raises:
        FeaturesError: naming the feature and the rule that it breaks, or that the teacher's dtype cannot tell its values apart.
        TeacherError: when the features are not the teacher's, or there is no file and its width cannot be found.
    """
    inputs = read_features(features) if features else _own(teacher)
    teacher = asked_by_name(teacher, inputs.names, {i: f.labels for i, f in enumerate(inputs.features) if f.labels})
    teacher.guard.names = inputs.names
    teacher = settled(teacher, inputs.raw(inputs.draw(2, torch.Generator().manual_seed(0))))
    require_resolution(teacher.dtype, inputs)
    inputs = with_order(teacher, inputs)
    if not inputs.open_ended.all() or inputs.rank_correlation is not None:
        return teacher, inputs
    found = (infer(teacher, inputs) for infer in SOURCES)
    return teacher, next((each for each in found if each is not None), inputs)


def _own(teacher: Teacher) -> Inputs:
    """What a teacher says of its inputs where there is no features file: how many there are, their names and levels."""
    names = feature_names(teacher)
    bare = Inputs([Feature(name=name) for name in names]) if names else Inputs.unknown(infer_width(teacher))
    levels = levels_of(teacher)
    known = {
        i: levels[key] for i, name in enumerate(bare.names) for key in ((name if names else str(i)),) if key in levels
    }
    if not known:
        return bare
    features = [Feature(name=f.name, levels=[*known[i]]) if i in known else f for i, f in enumerate(bare.features)]
    return Inputs(features, inferred=InferredPrior(ENCODED, bare))
