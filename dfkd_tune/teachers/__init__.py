"""Frozen teachers: load them, probe them, and evaluate them in raw units or in standardized units."""
