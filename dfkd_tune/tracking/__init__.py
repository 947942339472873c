"""MLflow: records on disk, the thread that uploads them, and the runs they become. Nothing here depends on distillation."""
