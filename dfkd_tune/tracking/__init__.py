"""MLflow: records on disk, the thread that ships them, the runs that they become. Nothing here knows of distillation."""
