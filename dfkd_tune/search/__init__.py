"""Optuna: the study file, the search space, the queue of trials on a storage, and studies on record."""
