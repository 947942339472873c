"""For an Optuna study and MLflow runs of the user's own: an objective, a callback, a run context."""
