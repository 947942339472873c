"""For your own Optuna study and MLflow runs: an objective, a callback, and a run context."""
