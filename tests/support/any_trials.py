"""Trials with anything that Optuna can record, and all that a trial holds."""

import math
from datetime import datetime, timedelta

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

DISTRIBUTIONS = {
    "rate": FloatDistribution(1e-4, 1e-2, log=True),
    "share": FloatDistribution(0.0, 1.0, step=0.25),
    "steps": IntDistribution(1, 64, log=True),
    "kind": CategoricalDistribution(["none", None, True, 0.5, 3]),
}
NUMBERS = (0.25, -1e-300, math.inf, -math.inf)
MOMENTS = (datetime(2024, 3, 31, 2, 30), datetime(2024, 7, 1, 12, 0, 0, 123456), datetime(2024, 10, 27, 2, 30))
"""Two of them are at a change of the clock in many time zones, and two have no microseconds."""


def any_trial(rng: np.random.Generator, objectives: int) -> FrozenTrial:
    """A trial with any of what a trial may hold."""
    state = TrialState(rng.integers(len(TrialState)))
    leaves = [name for name in DISTRIBUTIONS if rng.random() < 0.7]
    known = {name: DISTRIBUTIONS[name] for name in leaves}
    params = {"rate": 2e-3, "share": 0.75, "steps": 8, "kind": DISTRIBUTIONS["kind"].choices[rng.integers(5)]}
    values = [NUMBERS[i] for i in rng.integers(len(NUMBERS), size=objectives)]
    reports = {int(step): (*NUMBERS, math.nan)[rng.integers(5)] for step in rng.permutation(9)[: rng.integers(5)]}
    made = create_trial(
        state=state,
        values=values if state == TrialState.COMPLETE else None,
        params={name: params[name] for name in leaves},
        distributions=known,
        user_attrs={"told": [1, {"é": None}, math.inf], "rmse": 0.1},
        system_attrs={"fixed_params": {"rate": 1}},
        intermediate_values=reports,
    )
    begun = MOMENTS[rng.integers(len(MOMENTS))]
    made.datetime_start = None if state == TrialState.WAITING else begun
    made.datetime_complete = begun + timedelta(minutes=40) if state.is_finished() else None
    return made


def told(found: FrozenTrial) -> dict:
    """Everything that a trial holds, in words where a NaN is equal to another one."""
    return vars(found) | {
        "order": [*found.params],
        "intermediate_values": {k: repr(v) for k, v in found.intermediate_values.items()},
    }
