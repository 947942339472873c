"""Everything about Optuna: the study file, the search space, the trial queue on a storage, and recorded studies."""
