"""Describe a table with differential privacy."""
