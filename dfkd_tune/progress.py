"""Where a study stands while it runs, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass

from .promotion import Promoted


@dataclass
class Progress:
    """Where a study stands, for whoever shows it.

    Args:
        total, done, pruned, failed, running: trials; ``done`` are complete.
        best: objective of the best complete trial, and its number.
        baseline: objective of the untuned preset, None until it is known.
        reruns: re-runs of leaders on record, and all of them; None while trials are left.
        share: of all student steps of this session that are done, re-runs included, 0 to 1.
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
    seconds: float = 0.0

    @property
    def left(self) -> float | None:
        """Seconds to go at the pace so far."""
        return self.seconds * (1 - self.share) / self.share if self.share > 0.02 else None


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
