"""The distillation loop: a problem, its members, the population that trains them, and what each came to."""
