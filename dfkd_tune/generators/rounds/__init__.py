"""Generators of rows that a study asks in rounds, for all of its trials."""
