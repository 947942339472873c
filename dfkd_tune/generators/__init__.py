"""Synthetic data generators, one file each."""
