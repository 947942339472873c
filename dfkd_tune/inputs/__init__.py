"""The declared inputs of a teacher, the prior over them, and raw rows that match the declaration exactly."""
