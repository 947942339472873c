"""Finished trials that no study made, for tests of what is said of them."""

import json

from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial

from dfkd_tune.recipes.presets import PAPER

LEAF = "generator.kind"


def trial(value, kind="direct", state=TrialState.COMPLETE, **attributes):
    """A finished trial of a study that chose among two generators."""
    made = create_trial(
        params={LEAF: kind},
        distributions={LEAF: CategoricalDistribution(["direct", "gaussian"])},
        values=None if state != TrialState.COMPLETE else [value],
        state=state,
        user_attrs={"rmse": value, "parameters": 100.0, "seconds": 1.0, "recipe": json.dumps(PAPER.tree())}
        | attributes,
    )
    return made


def numbered(trials):
    for number, each in enumerate(trials):
        each.number = number
    return trials


def of(**kinds):
    return numbered([trial(value, kind) for kind, values in kinds.items() for value in values])
