"""How a notebook shows a result."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from dfkd_tune.errors import DfkdError
from dfkd_tune.training.rmse_words import gap_in_words, rmse_in_words
from dfkd_tune.utils.text.html import table

if TYPE_CHECKING:
    from dfkd_tune.evaluation.certificate import Certificate
    from dfkd_tune.reporting.findings import Findings


def result_page(name: str, found: Findings, certificate: Certificate | DfkdError, reason: str | None) -> str:
    """The result of a study as a small table: what was found, and how to go on."""
    from dfkd_tune.reporting.summary_text import headline, state_counts

    rows = {"trials": state_counts(found)}
    if isinstance(certificate, DfkdError):
        rows["certificate"] = str(certificate)
    else:
        rows["RMSE against the teacher"] = rmse_line(certificate)
        worst, outputs = certificate.worst, len(certificate.report.by_output)
        rows["worst gap found"] = gap_in_words(worst.gap, worst.relative_gap, worst.output_name, outputs)
        rows["parameters"] = f"{certificate.student['parameters']:,}"
        rows["inputs"] = f"tier {certificate.inputs['tier']}"
    if reason is not None:
        rows["teacher"] = f"in this process alone: {reason}"
    rows["go on"] = f"dfkd-tune show {name}"
    return f"<h4>{escape(headline(found))}</h4>{table(rows.items())}"


def rmse_line(certificate: Certificate) -> str:
    """The RMSE on the report bank with its interval."""
    report = certificate.report
    low, high = report.interval
    rmse = rmse_in_words(report.rmse, report.relative_rmse, len(report.by_output))
    return f"{rmse}, {low:.4g} to {high:.4g} at 95 % confidence"
