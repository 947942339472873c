"""Names of the MLflow run parameters that are read back, each declared only here. A trial's other parameters are leaves of its recipe."""

from __future__ import annotations

TRIAL = "trial"
"""Number of the trial, on its run and its re-runs."""
SEED = "seed"
"""Seed of the student's random stream; on the parent run the study's seed, from which the banks are drawn."""
STEPS = "steps"
"""Student updates of a run's student; on the parent run those of a student that trains all of them."""
BANK, POOL = "bank", "pool"
"""Rows of each bank and of the pool, on the parent run."""
BANK_ROWS = "{}_rows"
"""Rows of a bank by its name, on the parent run of a study with a total number of queries, which has no others."""
POOL_GRADIENTS = "pool_gradients"
"""Whether the teacher's input gradients on the pool were kept, on the parent run."""
