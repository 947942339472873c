"""Where a study stands while it runs, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass

import optuna
from optuna.trial import TrialState

from .promotion import RECORD, Promoted, leaders, wanted
from .spec import About


@dataclass
class Progress:
    """Where a study stands, for whoever shows it.

    Args:
        total, done, pruned, failed, running: trials; ``done`` are complete.
        best: objective of the best complete trial, and its number.
        baseline: objective of the untuned preset, None until it is known.
        reruns: re-runs of leaders on record, and all of them; None while trials are left.
        share: of all student steps of this session that are done, re-runs included, 0 to 1.
        worth: what one trial adds to ``share``.
        seconds: since this session started.
    """

    total: int
    done: int = 0
    pruned: int = 0
    failed: int = 0
    running: int = 0
    best: tuple[float, int] | None = None
    baseline: float | None = None
    reruns: tuple[int, int] | None = None
    share: float = 0.0
    worth: float = 0.0
    seconds: float = 0.0

    @property
    def left(self) -> float | None:
        """Seconds to go at the pace so far."""
        return self.seconds * (1 - self.share) / self.share if self.share > 0.02 else None


def standing(study: optuna.Study, about: About, before: int, seconds: float) -> Progress:
    """Where a study stands now, trials in flight left out of its share.

    Args:
        study: on record.
        about: what was asked of it.
        before: trials that had ended when this session began.
        seconds: since this session began.
    """
    trials = study.get_trials(deepcopy=False)
    states = [trial.state for trial in trials]
    p = Progress(
        about.trials,
        states.count(TrialState.COMPLETE),
        states.count(TrialState.PRUNED),
        states.count(TrialState.FAIL),
        states.count(TrialState.RUNNING),
        min(((t.values[0], t.number) for t in trials if t.state == TrialState.COMPLETE), default=None),
        seconds=seconds,
    )
    known = study.user_attrs
    p.baseline = known.get("baseline")
    ended, again = sum(trial.state.is_finished() for trial in trials[: about.trials]), 0
    extra = min(about.leaders, about.trials) * about.reruns
    if ended >= about.trials and extra:
        leading = [trial.number for trial in leaders(study, about.leaders)]
        extra = len(leading) * about.reruns
        again = extra - len(wanted(leading, about.reruns, known.get(RECORD, {})))
        p.reruns = (again, extra)
    p.worth = 1 / max(1, about.trials - before + extra)
    p.share = min(1.0, (ended - before + again) * p.worth)
    return p


@dataclass(frozen=True)
class StudyResult:
    """What a study came to.

    Args:
        name: of the study.
        best: objective and number of the best complete trial, None when there is none.
        promoted: the student that the study ends with, None when there is none.
        baseline: RMSE of the untuned preset on the selection bank, in the teacher's units.
        report: RMSE of the promoted student on the report bank, in the teacher's units.
        tracking_uri, storage_url: where it is recorded.
        progress: the final counts.
    """

    name: str
    best: tuple[float, int] | None
    promoted: Promoted | None
    baseline: float | None
    report: float | None
    tracking_uri: str
    storage_url: str
    progress: Progress
