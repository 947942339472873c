"""Distributions of one feature."""
