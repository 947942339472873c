"""A study from start to end: preparation, workers, re-runs of the best trials, replay, synchronization with MLflow."""
