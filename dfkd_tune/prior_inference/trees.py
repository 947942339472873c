"""Infer quantiles and rank correlations of features from the row counts at the splits of a tree ensemble."""

from __future__ import annotations

from dataclasses import replace

from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs.dependence.copula import WIDEST
from dfkd_tune.inputs.dependence.rank_correlation import RankCorrelation
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.prior import InferredPrior, Inputs
from dfkd_tune.prior_inference.marginals import margin, quantiles
from dfkd_tune.prior_inference.rank_correlation import rank_correlations
from dfkd_tune.prior_inference.tree_splits import Split, splits_of
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.data_frames import places
from dfkd_tune.utils import hardware

DESCRIPTION = "how each feature is distributed and how they go together was found from what the teacher's trees counted at their splits"


@hardware.threads(1)
def infer(teacher: Teacher, inputs: Inputs) -> Inputs | None:
    """Infer quantiles and rank correlations from a teacher's trees; None if it has no trees.

    Args:
        teacher: the teacher in raw units.
        inputs: the declared inputs, without quantiles and ranges; features with levels keep them.

    Raises:
        FeaturesError: the declared mean of a feature lies beyond all values at which the trees split it.
    """
    splits = splits_of(teacher.estimator) if teacher.estimator is not None else []
    if not splits:
        return None
    feature_of = {place: i for i, place in enumerate(places(teacher, inputs.names))}
    splits = [replace(split, feature=feature_of[split.feature]) for split in splits]
    of_feature: dict[int, list[Split]] = {}
    for split in splits:
        of_feature.setdefault(split.feature, []).append(split)
    margins = {d: margin(here) for d, here in of_feature.items()}
    features = [
        _distributed(feature, quantiles(margins[d], feature.std or 1.0))
        if d in margins and feature.levels is None
        else feature
        for d, feature in enumerate(inputs.features)
    ]
    ranks = rank_correlations(splits, margins, len(inputs)) if 1 < len(inputs) <= WIDEST else None
    for i, row in enumerate(ranks or ()):  # levels without an order have no rank
        row[:i] = [0.0 if {i, j} & {*inputs.nominal} else r for j, r in enumerate(row[:i])]
    return inputs.replaced(
        features=features, dependence=ranks and RankCorrelation(ranks), inferred=InferredPrior(DESCRIPTION, inputs)
    )


def _distributed(feature: Feature, found: dict[float, float]) -> Feature:
    """A feature with quantiles, within which its declared mean must lie."""
    low, high = Feature(name=feature.name, quantiles=found).support
    if feature.mean is not None and not low <= feature.mean <= high:
        rule = f"mean {feature.mean:g} lies outside the values between which the teacher's trees split, {low:.4g} to {high:.4g}"
        raise FeaturesError(f"feature {feature.name!r}", rule, remedy="check its unit, or declare its range")
    return replace(feature, quantiles=found)
