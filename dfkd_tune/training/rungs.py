"""How often a student is evaluated while it trains."""

from __future__ import annotations

RUNGS = 20
"""Evaluations on the pruning bank, at even shares of a trial's budget; Optuna gets a report at each."""
