"""Locations of state: database URLs, folders, and files that are written atomically."""
