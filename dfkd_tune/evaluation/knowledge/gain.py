"""``Gain``: what one more tier of knowledge would buy, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass

NEXT = {
    "quantiles": "the quantiles of each feature (T3)",
    "correlation": "the rank correlations of features (T4)",
    "mixture": "a mixture of copulas (T4)",
}
"""Tier of ``dfkd-tune describe`` -> what it declares, in the order in which knowledge grows."""


@dataclass(frozen=True)
class Gain:
    """What one more tier of knowledge would buy.

    Args:
        tier: tier of ``dfkd-tune describe`` that declares more; None if there is none, or none is foreseen.
        share: share of the error on real inputs that it would take away, by the geometric mean over the worlds; None without an estimate.
        low, high: interval of ``share``.
        worlds: number of worlds.
        teacher_rows: number of rows that the teacher was asked for.
        why: why there is no estimate; None with one, and where there is nothing to gain.
    """

    tier: str | None
    share: float | None = None
    low: float | None = None
    high: float | None = None
    worlds: int = 0
    teacher_rows: int = 0
    why: str | None = None

    @property
    def command(self) -> str | None:
        """What to run where the data are; None without a tier."""
        return None if self.tier is None else f"dfkd-tune describe DATA --tier {self.tier} -o features.yaml"

    def words(self) -> str:
        """The estimate in a sentence."""
        if self.why is not None:
            return f"not estimated, as {self.why}" + ("" if self.tier is None else f"; the next tier: {self.command}")
        if self.tier is None or self.share is None or self.low is None or self.high is None:
            return "nothing to gain: no tier declares more of the inputs"
        share, low, high = (round(100 * each) for each in (self.share, self.low, self.high))
        return (
            f"{NEXT[self.tier]} would take away about {share} % of the error on real inputs (80 % interval {low} to {high} %): "
            f"{self.command}"
        )
