"""Parts of a total number of teacher queries, by the names under which their rows are claimed, kept and told."""

from __future__ import annotations

from collections.abc import Mapping

OPENING = "opening"
"""What a study needs to know of its teacher before any row of its own: shapes, noise, identity."""
REPORT, PRIOR, STRESS = "report", "prior", "stress"
"""The report bank, and the first round: rows of the prior, and rows as undeclared tails would have them."""
ROUND = "round"
"""Later rounds are ``round-1``, ``round-2``, ..."""
AGAIN = "again"
"""Kept rows that are asked again, to see that the teacher still gives the same answers."""
CERTIFICATE = "certificate"
"""The attack on the promoted student."""
FIRST, LAST = (OPENING, REPORT, PRIOR, STRESS), (AGAIN, CERTIFICATE)


def round_name(number: int) -> str:
    """Name of a later round, counted from 1."""
    return f"{ROUND}-{number}"


def in_order(rows: Mapping[str, int]) -> dict[str, int]:
    """Rows by part, in the order of the parts, whenever they were claimed: a raised total asks rounds after a certificate."""

    def place(part: str) -> tuple[int, int, str]:
        if part in FIRST:
            return 0, FIRST.index(part), part
        if part in LAST:
            return 2, LAST.index(part), part
        number = part.rpartition("-")[2]
        return 1, int(number) if number.isdigit() else 0, part

    return {part: rows[part] for part in sorted(rows, key=place)}
