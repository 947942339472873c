"""Names of a student's metrics, each declared only here. They are logged to MLflow and are attributes of the Optuna trial.

The main metrics have plain names; the others are grouped as ``group/name``.
"""

from __future__ import annotations

from collections.abc import Mapping

RMSE, NRMSE = "rmse", "nrmse"
"""RMSE between student and teacher on the selection bank, in the teacher's units and in standard deviations of the teacher."""
STRESS_RMSE, STRESS_NRMSE = "stress_rmse", "stress/nrmse"
"""The same on the stress bank."""
NRMSE_ERROR, ROBUST_ERROR = "nrmse_error", "robust_error"
"""Standard errors of ``nrmse`` and ``robust`` over the held-out rows, of studies with a total number of queries."""
ROBUST = "robust"
"""Weighted geometric mean of ``nrmse`` and ``stress/nrmse``."""
PARAMETERS, COMPRESSION = "parameters", "compression"
"""Number of trained values of the student, and the teacher's number over it."""
LATENCY = "latency_us"
"""Microseconds that the student takes for one row."""
SECONDS = "seconds"
"""Seconds of computation, as a share of the trials that train at the same time."""
TEACHER_ROWS = "teacher_rows"
"""Rows that the teacher was queried with for this student alone."""
ANSWERED_ROWS = "answered_rows"
"""Answered rows that all students shared when it began to train, those held out of it included; of studies with a total."""
OUTPUT_RMSE = "output/rmse_{}"
"""RMSE of one output, by its index, where there are several."""
CURVE_RMSE = "curve/rmse"
"""RMSE on the pruning bank, one point per rung."""
CURVE = "curve/"
"""Group of the metrics that are logged during training."""
GAP_Q10, GAP_Q50, GAP_Q90 = "gap/q10", "gap/q50", "gap/q90"
"""Quantiles of the gap that the generator reached at the last rung."""
ACTIVE_BOUND, ACTIVE_INPUT_BOUND = "active/bound", "active/input_bound"
"""Fraction of synthetic rows that the gap bound and the input bound limited at the last rung."""
TEACHER_EXACTNESS, STUDENT_EXACTNESS = "exactness/teacher", "exactness/student"
"""Largest difference between the model in training and the model as its file loads, in standard deviations of the teacher."""
CERTIFICATE_RMSE, CERTIFICATE_NRMSE = "certificate/rmse", "certificate/nrmse"
"""RMSE of the promoted or registered student on the report bank."""
CERTIFICATE_WORST_GAP, CERTIFICATE_WORST_RELATIVE_GAP = "certificate/worst_gap", "certificate/worst_relative_gap"
"""Largest gap that the attack on that student found, in the teacher's units and in its standard deviations."""
EVALUATION_RMSE, EVALUATION_NRMSE, EVALUATION_R2 = "evaluation/rmse", "evaluation/nrmse", "evaluation/r2"
"""RMSE, normalized RMSE and R2 to the teacher on a table that ``evaluate`` was given."""
EVALUATION_WORST_GAP, EVALUATION_IN_DOMAIN = "evaluation/worst_gap", "evaluation/in_domain"
"""Largest gap on that table, and the share of its rows that the declared inputs may have."""
STUDY = "study/"
"""Group of the parent run's own counts and results."""


def by_output(values: Mapping[str, float]) -> list[float]:
    """RMSE of each output on the selection bank, from a student's metrics or ``result.json``."""
    count = sum(name.startswith(OUTPUT_RMSE.format("")) for name in values)
    return [float(values[OUTPUT_RMSE.format(i)]) for i in range(count)] or [float(values[RMSE])]
