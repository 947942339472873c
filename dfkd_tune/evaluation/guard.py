"""What the guard of a student does on the report bank."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dfkd_tune.inputs.domain.rule import in_domain
from dfkd_tune.training.problem import Problem


@dataclass(frozen=True)
class GuardReport:
    """How often the guard fires on the report bank, and how large the gaps are.

    Args:
        share: share of the rows that it calls outside of the domain.
        outside, inside: RMSE in the teacher's units on these rows and on all others; None where there are none.
    """

    share: float
    outside: float | None
    inside: float | None


def guard_report(problem: Problem, gaps: Tensor) -> GuardReport | None:
    """The report of gaps ``(N, O)`` on the report bank, in the teacher's units; None if the student has no guard."""
    if problem.domain is None:
        return None
    raw = problem.inputs.raw(problem.banks["report"].z.double().cpu())
    inside = torch.from_numpy(in_domain(problem.domain.tree(), raw.numpy()))
    return GuardReport(1 - float(inside.double().mean()), _rmse(gaps[~inside]), _rmse(gaps[inside]))


def _rmse(gaps: Tensor) -> float | None:
    return float(gaps.square().mean().sqrt()) if len(gaps) else None
