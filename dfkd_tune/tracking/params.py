"""Parameters of MLflow runs that are read again: each name is declared here alone. The rest of a trial's are leaves of its recipe."""

from __future__ import annotations

TRIAL = "trial"
"""Of a trial and of its re-runs: its number."""
SEED = "seed"
"""Of a child: of its member. Of the parent: of the study, from which its banks are drawn."""
BANK, POOL = "bank", "pool"
"""Of the parent: rows of each bank, and of the pool."""
POOL_GRADIENTS = "pool_gradients"
"""Of the parent: whether the teacher's input gradients on the pool were kept."""
