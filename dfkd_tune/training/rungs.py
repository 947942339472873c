"""How often a student is evaluated during training."""

from __future__ import annotations

RUNGS = 20
"""Number of evaluations (rungs) on the pruning bank, at even shares of a trial's budget; each is reported to Optuna."""
