"""Generators with a model of the teacher of their own: a second clone, feature bins."""
