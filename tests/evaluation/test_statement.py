"""A certificate says what was measured, on which rows, and what it does not promise."""

from dataclasses import replace

from dfkd_tune.evaluation.measurements import Gaps, Report, WorstGap
from dfkd_tune.evaluation.statement import statement

REPORT = Report(1_000, 0.5, (0.4, 0.6), 0.05, 0.99, Gaps(0.1, 0.2, 0.3, 0.4), 0.003, ())
WORST = WorstGap(2.0, 0.2, 0, "y", (1.0,), (3.0,), {"a": 1.0}, {"a": 0.9}, {"a": 0.1}, 0.1, 0.15, "random", 8, 42, 0)


def test_rows_that_no_student_saw_are_told_from_inputs_that_every_student_saw():
    unseen = statement("T0", REPORT, WORST)["holds"][0]
    assert unseen.endswith(
        "0.4 to 0.6 at 95 % confidence), measured on 1,000 rows that neither training nor pruning nor selection saw."
    )
    seen = statement("T0", replace(REPORT, population=60), WORST)["holds"][0]
    assert seen.endswith(
        "1,000 draws of the 60 different inputs that there are, on each of which the student was trained."
    )


def test_an_attack_is_told_with_its_rows():
    assert "An attack of 42 teacher rows, within 0.15 standard" in statement("T0", REPORT, WORST)["holds"][2]
    known = statement("T0", REPORT, replace(WORST, teacher_rows=0))["holds"][2]
    assert "An attack on rows that were answered before, within 0.15 standard" in known
    assert "No teacher row was left" in statement("T0", REPORT, replace(WORST, method="none"))["holds"][2]


def test_inputs_without_an_answer_are_not_promised():
    before = statement("T3", REPORT, WORST)["does_not_hold"]
    after = statement("T3", REPORT, replace(WORST, unanswered=7))["does_not_hold"]
    assert len(after) == len(before) + 1 and "the attack met 7 of them" in after[-1] and "(tier T3)" in after[0]
