"""Whether the leading recipes of a study are settled before its last trials end, so that their re-runs may train beside these."""

from __future__ import annotations

import optuna
from optuna.trial import TrialState

from dfkd_tune.search.optuna_kinds import WARMUP
from dfkd_tune.search.ranking import top_candidates


def leaders_are_settled(study: optuna.Study, leaders: int, unfinished: int) -> bool:
    """Whether every unfinished trial is behind all leading recipes.

    A trial is behind if the last value that it reported is larger than those of all leading trials at the same rung. Its objective is on
    other banks, so that it may overtake one of them all the same: then that recipe was re-run in vain, and the overtaker is re-run later.

    Args:
        study: the recorded study.
        leaders: number of recipes that are re-run.
        unfinished: number of its trials that have not ended, those that have not begun included.

    Returns:
        True if no trial is left; False if one has not begun, is at one of the first rungs, or there are too few leaders.
    """
    if not unfinished:
        return True
    trials = study.get_trials(deepcopy=False)
    running = [trial for trial in trials if trial.state == TrialState.RUNNING]
    if len(running) < unfinished:
        return False
    leading = [trials[one.trial] for one in top_candidates(study, leaders) if one.trial is not None]
    if len(leading) < leaders:
        return False
    for trial in running:
        if (rung := trial.last_step) is None or rung < WARMUP:
            return False
        reported = [value for leader in leading if (value := leader.intermediate_values.get(rung)) is not None]
        if not reported or not trial.intermediate_values[rung] > max(reported):  # nor if the value is nan
            return False
    return True
