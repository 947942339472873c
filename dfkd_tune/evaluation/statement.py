"""What a certificate promises of a student, and what it does not, in sentences."""

from __future__ import annotations

from dfkd_tune.evaluation.measurements import Report, WorstGap
from dfkd_tune.training.rmse_words import gap_in_words, rmse_in_words


def statement(tier: str, report: Report, worst: WorstGap) -> dict[str, list[str]]:
    """What a certificate promises, sentences ``holds``, and what it does not, ``does_not_hold``.

    Args:
        tier: metadata tier of the inputs.
        report, worst: the measurements.
    """
    low, high = report.interval
    holds = [
        f"On inputs drawn from the declared prior, the RMSE between student and teacher is "
        f"{rmse_in_words(report.rmse, report.relative_rmse, len(report.by_output))} ({low:.4g} to {high:.4g} at 95 % confidence), measured on {_rows(report)}.",
        f"At 95 % confidence, at most {100 * report.beyond_largest:.2g} % of such inputs have a larger gap than the "
        f"largest measured, {report.relative_gaps.largest:.4g} standard deviations of the teacher.",
        _attacked(worst),
    ]
    not_held = [
        f"Real inputs: none were used, and nothing is known about them beyond this declaration (tier {tier}). If real inputs "
        "differ from it, the error may differ too; only real inputs can show that.",
        "The worst case: the attack gives a lower bound. Larger gaps may exist elsewhere, within and outside the declared "
        "ranges.",
        "The teacher itself: the student is compared with the teacher, not with the truth.",
        "A choice between students by their certificates: such a choice makes the report bank a selection bank.",
    ]
    if worst.unanswered:
        not_held.append(
            f"Inputs without a finite output: the attack met {worst.unanswered:,} of them, and their gaps do not count."
        )
    return {"holds": holds, "does_not_hold": not_held}


def _rows(report: Report) -> str:
    if report.population is None:
        return f"{report.rows:,} rows that neither training nor pruning nor selection saw"
    return f"{report.rows:,} draws of the {report.population:,} different inputs that there are, on each of which the student was trained"


def _attacked(worst: WorstGap) -> str:
    gap = gap_in_words(worst.gap, worst.relative_gap, worst.output_name, len(worst.teacher))
    if worst.method == "none":
        return (
            f"No teacher row was left for an attack. The largest gap on the report bank is {gap}, at the input shown."
        )
    rows = f"of {worst.teacher_rows:,} teacher rows" if worst.teacher_rows else "on rows that were answered before"
    told = f"An attack {rows}, within {worst.radius:g} standard deviations of prior rows,"
    return f"{told} found a gap of {gap}, at the input shown."
