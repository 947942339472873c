"""What is said about a study in which no trial completed: how its trials ended, the last reason, and the remedy."""

from __future__ import annotations

from collections.abc import Iterable

from dfkd_tune.errors import StudyFailed
from dfkd_tune.search.progress import FinishedTrial, Progress, StudyResult
from dfkd_tune.tracking.states import State

DIVERGED = "diverged"
"""First word of the reason of a trial whose student diverged."""


def require_complete(result: StudyResult) -> StudyResult:
    """Return the result of a study in which at least one trial completed.

    Raises:
        StudyFailed: if no trial completed. All that the study recorded stays.
    """
    if result.best is None:
        last = last_failure(result.progress.finished_trials.values())
        raise StudyFailed(f"study {result.name!r}", _rule(result.progress, last), remedy=_remedy(last))
    return result


def last_failure(ended: Iterable[FinishedTrial]) -> FinishedTrial | None:
    """The last of the given trials, in order of completion, that has no student; None if there is none."""
    return next((trial for trial in reversed([*ended]) if trial.state != State.COMPLETE), None)


def _rule(progress: Progress, last: FinishedTrial | None) -> str:
    if last is None:
        return f"no trial completed: the time was up before one of its {progress.total:,} trials ended"
    counts = {"pruned": progress.pruned, "failed": progress.failed}
    ended = ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)
    return f"no trial completed ({ended}); the last is trial {last.trial}: {last.reason or 'no reason is recorded'}"


def _remedy(last: FinishedTrial | None) -> str:
    if last is None:
        return "give a longer --timeout, then run the same command again"
    if last.state == State.FAIL:
        return "run it with --workers 1 to see why, and with more --n-trials"
    if (last.reason or "").startswith(DIVERGED):
        return "lower optimizer.lr under another --name"
    return "remove this cause, and give more --n-trials or another --name"
