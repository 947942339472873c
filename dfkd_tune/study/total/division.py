"""``Division``: how a total number of teacher queries is divided."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from dfkd_tune.teachers.metering.parts import AGAIN, CERTIFICATE, OPENING, PRIOR, REPORT, STRESS, in_order, round_name

SHARES = {REPORT: 0.06, CERTIFICATE: 0.02, PRIOR: 0.40, STRESS: 0.20}
"""Share of each part. What these, ``OPENING`` and ``AGAIN`` leave goes to the rounds."""
LEAST = {REPORT: 40, CERTIFICATE: 42, PRIOR: 100, STRESS: 50}
"""Fewest rows of each part."""
ROUNDS = 3
DRAWN = {REPORT: 1_000, PRIOR: 4_000, STRESS: 1_000}
"""Rows of each part that are drawn from few different ones, each of which is asked once; of the prior at least as many as those."""
PROBE_LEAST, PROBE_MOST, PROBE_SHARE = 16, 512, 0.01
"""Fewest and most rows with which a teacher is probed, and their share of the total; most of them are asked twice."""
OPENING_ROWS = 14
"""Rows besides those of the probe that most teachers need; the division is settled once it is known how many this one took."""
AGAIN_ROWS = 2
"""Kept rows that are asked again each time: before each later round, before the certificate, and when an interrupted session goes on."""


@dataclass(frozen=True)
class Division:
    """Rows of each part of a total.

    Args:
        total: all rows.
        opening: shapes, noise and identity of the teacher; expected until it is settled.
        report: rows of the report bank.
        prior, stress: rows of the first round, from the prior and as undeclared tails would have them.
        rounds: rows of each later round.
        again: kept rows that are asked again.
        certificate: rows of the attack on the promoted student.
        different: number of different rows of the inputs if each of them can be asked; 0 if there are more. Report, prior and stress
            are then drawn from these, as often as one likes.
    """

    total: int
    opening: int
    report: int
    prior: int
    stress: int
    rounds: tuple[int, ...]
    again: int
    certificate: int
    different: int = 0

    @classmethod
    def of(cls, total: int, opening: int | None = None, different: int | None = None) -> Division:
        """Divide a total.

        Args:
            total: all rows.
            opening: rows that were asked before any of the study's own; None to expect what most teachers take.
            different: number of different rows of the inputs; None for more than can be counted.
        """
        opening = 2 * probe_rows(total) + OPENING_ROWS if opening is None else opening
        part = {name: max(LEAST[name], round(share * total)) for name, share in SHARES.items()}
        if different is not None and different <= total - opening:
            prior = max(DRAWN[PRIOR], different)
            return cls(total, opening, DRAWN[REPORT], prior, DRAWN[STRESS], (), 0, part[CERTIFICATE], different)
        left = total - opening - sum(part.values())
        rounds, again = _rounds(left)
        part[PRIOR] = max(
            0, part[PRIOR] + left - sum(rounds) - again
        )  # less if the teacher took many rows of a small total
        return cls(total, opening, part[REPORT], part[PRIOR], part[STRESS], rounds, again, part[CERTIFICATE])

    @classmethod
    def read(cls, tree: Mapping[str, Any]) -> Division:
        """The division from its plain values."""
        return cls(**{**tree, "rounds": tuple(tree["rounds"])})

    def raised(self, total: int) -> Division:
        """The division of a larger total: held-out rows stay, so that trials remain comparable, and further rounds are asked."""
        if self.different:  # all is asked
            return replace(self, total=total)
        more = total - self.total
        # Another student may be promoted then, whose certificate needs an attack of its own.
        attack = min(more // 2, max(LEAST[CERTIFICATE], round(SHARES[CERTIFICATE] * more)))
        rounds, again = _rounds(more - attack)
        again = min(again, more - attack)
        attack = more - sum(rounds) - again
        grown = {"again": self.again + again, "certificate": self.certificate + attack}
        return replace(self, total=total, rounds=(*self.rounds, *rounds), **grown)

    @property
    def first(self) -> int:
        """Rows of the first round and of the report bank, without which no trial can begin."""
        return self.different or self.report + self.prior + self.stress

    @property
    def shared(self) -> int:
        """Rows that all students share once every round is asked."""
        return self.different or self.prior + self.stress + sum(self.rounds)

    @property
    def trains(self) -> bool:
        """Whether the first round has as many prior rows as it has stress rows at least: fewer are left if the opening took many."""
        return bool(self.different) or self.prior >= LEAST[STRESS]

    def tree(self) -> dict[str, Any]:
        """The plain values."""
        return asdict(self) | {"rounds": list(self.rounds)}

    def parts(self) -> dict[str, int]:
        """Rows by the name of their part, in the order of ``parts.in_order``. Few different rows include those that the opening asks."""
        if self.different:
            return {OPENING: self.opening, PRIOR: self.different}
        first = {OPENING: self.opening, REPORT: self.report, PRIOR: self.prior, STRESS: self.stress}
        rounds = {round_name(i): rows for i, rows in enumerate(self.rounds, 1)}
        return in_order(first | rounds | {AGAIN: self.again, CERTIFICATE: self.certificate})

    def words(self) -> str:
        """The division in words."""
        if self.different:
            few = f"{PRIOR} at most {self.different:,}, as the inputs have no more different rows"
            return f"{OPENING} {self.opening:,}, {few}"
        return ", ".join(f"{name} {rows:,}" for name, rows in self.parts().items())


def probe_rows(total: int | None) -> int:
    """Rows with which a teacher is probed in a study with a total, or without one."""
    return PROBE_MOST if total is None else max(PROBE_LEAST, min(PROBE_MOST, round(PROBE_SHARE * total)))


def _rounds(rows: int) -> tuple[tuple[int, ...], int]:
    """Rows of each of ``ROUNDS`` rounds, without empty ones, and rows that are asked again before them and before a certificate."""
    free = max(0, rows - AGAIN_ROWS * (ROUNDS + 1))
    edges = [free * k // ROUNDS for k in range(ROUNDS + 1)]
    rounds = tuple(high - low for low, high in itertools.pairwise(edges) if high > low)
    return rounds, AGAIN_ROWS * (len(rounds) + 1)
