"""The progress of a study as one of its processes sees it, for display."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import optuna

from dfkd_tune.search.progress import Progress, study_progress
from dfkd_tune.search.study_file import StudySection
from dfkd_tune.study.trials.active_trial import ActiveTrial

POLL_S = 1.0
"""Seconds between two readings of what the other processes did."""


class ProgressView:
    """Reads the progress of a study at times, and reports it with the students that train in this process.

    Args:
        study: the recorded study.
        about: the section ``study`` of its study file.
        before: number of trials that had finished when this session began.
        on_progress: called with the progress.
    """

    def __init__(
        self, study: optuna.Study, about: StudySection, before: int, on_progress: Callable[[Progress], None]
    ) -> None:
        self._study, self._about, self._before, self._on_progress = study, about, before, on_progress
        self._begun = time.perf_counter()
        self.changed = False
        """Whether this process has changed the study since the last reading."""
        self.pruning = False
        """Whether this process searches the smallest student now."""
        self.progress = self.read()
        """The last reading."""

    def read(self) -> Progress:
        """Read the progress from the study's storage."""
        self.progress = study_progress(self._study, self._about, self._before, self._seconds(), self.pruning)
        self.changed, self._looked = False, time.monotonic()
        return self.progress

    def show(self, active: Iterable[ActiveTrial], waiting: str | None = None, fresh: bool = True) -> None:
        """Report the progress; a running trial counts by its time or its steps.

        Args:
            active: the trials, and perhaps the baseline, that train in this process.
            waiting: what this process waits for; None while it works.
            fresh: whether to read a change by this process at once, instead of after ``POLL_S``.
        """
        if (fresh and self.changed) or time.monotonic() - self._looked >= POLL_S:
            self.read()
        p, active = self.progress, [*active]
        trials = [running for running in active if running.trial is not None]
        shares = (t.seconds / p.typical if p.typical else t.member.clock / t.member.recipe.steps for t in trials)
        share = p.share + p.worth * sum(min(1.0, each) for each in shares)
        now = replace(p, share=min(1.0, share), seconds=self._seconds(), waiting=waiting)
        now.running_trials = [running.shown() for running in active]
        self._on_progress(now)

    def _seconds(self) -> float:
        return time.perf_counter() - self._begun
