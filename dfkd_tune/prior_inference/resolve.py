"""Resolve the inputs of a teacher: declared in a features file, or inferred from the teacher.

A network with batch normalization holds moments of its hidden units (``batch_norm``), trees hold counts of rows at
their splits (``trees``), and a pipeline holds the statistics of its scalers (``scalers``). These are aggregates over
training rows. They define the prior if no distribution is declared. Trees also do so if only nominal levels are. Scalers
tell the units of each feature of which nothing is declared, and batch normalization how features go together wherever that is not declared.
Windows move at unknown speeds, and pixels go together over unknown lengths, where nothing says more (``unknown_scales``).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from dfkd_tune.inputs.arguments import fitted, layout_of
from dfkd_tune.inputs.encoding import require_resolution
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.features_file import read_features
from dfkd_tune.inputs.prior import InferredPrior, Inputs
from dfkd_tune.layouts.layout import Layout
from dfkd_tune.layouts.signature import ROW_DTYPES, Argument, Signature
from dfkd_tune.prior_inference import batch_norm, scalers, trees, unknown_scales
from dfkd_tune.prior_inference.level_order import with_order
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.data_frames import (
    asked_by_name,
    feature_names,
    levels_of,
    require_levels,
    require_words,
    with_whole_numbers,
)
from dfkd_tune.teachers.endpoints.endpoint import IDENTITY_ROWS, identified
from dfkd_tune.teachers.formats.dtypes import settled
from dfkd_tune.teachers.fused.forward import with_fused_forward
from dfkd_tune.teachers.signatures.arranged import arranged, unknown_shapes, with_form, with_outputs
from dfkd_tune.teachers.signatures.width import infer_width

ENCODED = "levels of features were found from the encoder that the teacher begins with"
SOURCES = (batch_norm.infer, trees.infer, scalers.infer)


def with_inputs(teacher: Teacher, features: Path | None) -> tuple[Teacher, Inputs]:
    """Prepare a teacher for queries, and resolve its inputs.

    The inputs come from the features file; without declared distributions, they are inferred from the teacher. The
    returned teacher takes flat rows, whatever its own arguments are. It receives column names if it was fitted with
    them, and a dtype that it accepts.

    Raises:
        FeaturesError: the features file is invalid, it does not fit the teacher's arguments, or their dtype is too
            coarse for a feature.
        TeacherError: the features are not those of the teacher, or its number of features cannot be found.
    """
    return answering(*declared(teacher, features))


def declared(teacher: Teacher, features: Path | None) -> tuple[Teacher, Inputs]:
    """The first part of ``with_inputs``: a teacher of such rows, and what is known of its inputs before it is asked.

    A teacher that does not tell its number of features is asked for it if there is no features file and its rows are free.

    Raises:
        FeaturesError, TeacherError: as ``with_inputs`` does, for what no answer is needed for.
    """
    inputs = _told(teacher, read_features(features, teacher.signature)) if features else _own(teacher)
    teacher, inputs = _arranged(teacher, inputs)
    labels = {i: f.labels for i, f in enumerate(inputs.features) if f.labels}
    teacher = asked_by_name(teacher, inputs.names, labels)
    require_words(teacher, inputs)
    inputs = with_whole_numbers(teacher, inputs)
    require_levels(teacher, inputs.features)
    teacher.guard.names, teacher.guard.labels = inputs.names, labels
    return teacher, inputs


def answering(teacher: Teacher, inputs: Inputs) -> tuple[Teacher, Inputs]:
    """The second part of ``with_inputs``, which asks the teacher for a few rows; raises what it does.

    Args:
        teacher, inputs: as ``declared`` returns them.
    """
    if teacher.layout is None:
        teacher = settled(teacher, inputs.raw(inputs.draw(2, torch.Generator().manual_seed(0))))
    teacher = identified(teacher, inputs.raw(inputs.draw(IDENTITY_ROWS, torch.Generator().manual_seed(0))))
    if teacher.dtype not in ROW_DTYPES:  # rows are wider, and become what it takes
        signature = Signature.positional([Argument("x", (len(inputs),), teacher.dtype)])
        teacher, inputs = _arranged(teacher, inputs.laid_out(Layout(signature)))
    teacher, inputs = with_outputs(teacher, inputs)
    teacher = with_form(teacher, inputs)
    teacher = with_fused_forward(teacher) if teacher.fast is None else teacher
    require_resolution(teacher.dtype, inputs)
    inputs = with_order(teacher, inputs)
    known = inputs.inferred.declared if inputs.inferred is not None else inputs
    shaped = {*(~known.open_ended).nonzero().flatten().tolist()}
    if known.dependence is not None:
        return teacher, unknown_scales.completed(inputs)
    # Quantiles of trees go with their correlations: they are taken where no order of values is declared.
    sources = (batch_norm.infer, scalers.infer) if shaped - {*inputs.nominal} else SOURCES
    found = (infer(teacher, inputs) for infer in sources)
    return teacher, unknown_scales.completed(next((each for each in found if each is not None), inputs))


def _arranged(teacher: Teacher, inputs: Inputs) -> tuple[Teacher, Inputs]:
    """The teacher as a function of the rows of these inputs."""
    if inputs.layout is None:
        return teacher, inputs
    whole = [i for i, dtype in enumerate(inputs.layout.dtypes) if not dtype.is_floating_point]
    edges = [abs(edge) for i in whole for edge in inputs.features[i].support]
    layout = replace(inputs.layout, wide=max(edges, default=0) > 1 / torch.finfo(torch.float32).eps)
    return arranged(teacher, layout), inputs.laid_out(layout)


def _own(teacher: Teacher) -> Inputs:
    """The inputs of a teacher without a features file: their number, names, and the levels that it declares itself."""
    signature = teacher.signature
    if signature is not None and not signature.flat:
        return _of_arguments(teacher, signature)
    names = feature_names(teacher)
    bare = Inputs([Feature(name=name) for name in names]) if names else Inputs.unknown(infer_width(teacher))
    return _told(teacher, bare)


def _told(teacher: Teacher, declared: Inputs) -> Inputs:
    """The declared inputs, with the levels of the teacher's encoder for features of which nothing is declared."""
    if declared.layout is not None or declared.dependence is not None:
        return declared
    levels, named = levels_of(teacher), feature_names(teacher) is not None
    keys = [name if named else str(i) for i, name in enumerate(declared.names)]
    # A number that may be missing is no level: ``require_levels`` says what to declare.
    open_ = [not (f.known or f.missing or i in declared.simplex) for i, f in enumerate(declared.features)]
    known = {i: levels[key] for i, key in enumerate(keys) if open_[i] and key in levels}
    if not known:
        return declared
    features = [Feature(name=f.name, levels=[*known[i]]) if i in known else f for i, f in enumerate(declared.features)]
    return declared.replaced(features=features, inferred=InferredPrior(ENCODED, declared))


def _of_arguments(teacher: Teacher, signature: Signature) -> Inputs:
    """The inputs of a teacher with arguments: nothing is known of numbers, and the teacher itself must declare whole numbers."""
    if not signature.complete:
        raise unknown_shapes(teacher)
    layout = layout_of(signature, teacher.source)
    assert layout is not None  # only a flat signature has none
    bare = [Feature(name=name) for name in layout.names]
    fit = fitted(bare, layout, teacher.source)
    if not fit.told:
        return Inputs(fit.features, layout=layout)
    words = f"values of {', '.join(fit.told)} are those that the teacher's file tells"
    return Inputs(fit.features, inferred=InferredPrior(words, Inputs(bare, layout=layout)), layout=layout)
