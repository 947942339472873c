"""What a certificate measures of a student: its errors on the report bank, and the largest gap that an attack found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gaps:
    """Quantiles and maximum of ``|student - teacher|`` over rows."""

    p50: float
    p95: float
    p99: float
    largest: float


@dataclass(frozen=True)
class OutputReport:
    """One output on the report bank, in that output's units unless relative.

    Args:
        output: index of the output.
        name: its name, or its index where the teacher tells none.
        spread: standard deviation of the teacher.
        rmse, relative_rmse: root mean square gap, and the same divided by ``spread``.
        r2: 1 minus the mean square gap over the teacher's variance.
        gaps: quantiles of the gaps.
    """

    output: int
    name: str
    spread: float
    rmse: float
    relative_rmse: float
    r2: float
    gaps: Gaps


@dataclass(frozen=True)
class Report:
    """All outputs on the report bank.

    Args:
        rows: number of rows in the bank.
        rmse: RMSE over rows and outputs, in the teacher's units.
        interval: 95 % confidence interval of ``rmse``, by the normal approximation of the mean square.
        relative_rmse, r2: relative RMSE and R2 over rows and outputs.
        relative_gaps: quantiles over rows of the largest relative gap of any output.
        beyond_largest: upper bound, at 95 % confidence, of the share of prior inputs with a gap above the largest one.
        by_output: report of each output.
        population: number of different inputs if there are few, on each of which the student was trained; None otherwise.
    """

    rows: int
    rmse: float
    interval: tuple[float, float]
    relative_rmse: float
    r2: float
    relative_gaps: Gaps
    beyond_largest: float
    by_output: tuple[OutputReport, ...]
    population: int | None = None


@dataclass(frozen=True)
class WorstGap:
    """The largest gap that the attack found.

    Args:
        gap, relative_gap: gap at the worst output, in that output's units and over its spread.
        output, output_name: index and name of the worst output.
        teacher, student: outputs of both at ``input``.
        input, origin: raw values by feature name; ``origin`` is the prior row that the attack started from.
        moved: difference from ``origin`` to ``input`` by feature name, in standard deviations.
        distance: largest absolute value of ``moved``.
        radius: largest distance that was allowed.
        method: ``gradient`` or ``random``; ``none`` if no row was left, so that it is the worst row of the report bank.
        starts, teacher_rows: number of prior rows attacked, and of teacher queries.
        unanswered: number of rows whose gap was not finite.
    """

    gap: float
    relative_gap: float
    output: int
    output_name: str
    teacher: tuple[float, ...]
    student: tuple[float, ...]
    input: dict[str, float | str | None]
    origin: dict[str, float | str | None]
    moved: dict[str, float]
    distance: float
    radius: float
    method: str
    starts: int
    teacher_rows: int
    unanswered: int
