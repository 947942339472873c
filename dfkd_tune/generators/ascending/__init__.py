"""Generators whose rows ascend from prior rows."""
