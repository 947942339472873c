"""Names of the MLflow run parameters that are read back, each declared only here. A trial's other parameters are leaves of its recipe."""

from __future__ import annotations

TRIAL = "trial"
"""Number of the trial, on its run and its re-runs."""
SEED = "seed"
"""Seed of the student's random stream; on the parent run the study's seed, from which the banks are drawn."""
BANK, POOL = "bank", "pool"
"""Rows of each bank and of the pool, on the parent run."""
TOTAL_QUERIES = "total_queries"
"""Most teacher queries of the whole study, on the parent run."""
POOL_GRADIENTS = "pool_gradients"
"""Whether the teacher's input gradients on the pool were kept, on the parent run."""
