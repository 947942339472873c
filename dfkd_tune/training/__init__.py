"""The distillation loop: a problem, its members, the population that trains them, and the outcome of each."""
