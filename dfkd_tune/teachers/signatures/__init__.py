"""Signatures of teachers: read from what they are, and used to ask them flat rows."""
