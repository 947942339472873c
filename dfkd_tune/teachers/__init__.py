"""Frozen teachers: loaded, probed, and asked in raw units or between standardized inputs and normalized outputs."""
