"""What knows nothing of distillation: YAML, seeds, names in messages and pages, this machine, a user's code."""
